//! The life of the process: read the configuration, open the store, bind, serve, drain, stop.
//!
//! [`Service::stop`] stops in this order: no new connections and no new work; running answers finish within the grace period;
//! runners are stopped and reaped, which ends the remaining streams with an error; connections are closed; the index is closed.
//! A second signal ends the process at once, and the runners with it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use devices::Root;
use registry::Registry;
use supervisor::Spawner;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accelerators::Accelerators;
use crate::accept;
use crate::adapters::Adapters;
use crate::app::App;
use crate::apply::{self, Owners};
use crate::blocking;
use crate::config::{self, Config, ConfigCommand, FileWatch, LiveConfig};
use crate::cpu::CpuModules;
use crate::descriptors;
use crate::devices::Devices;
use crate::env::{Environment, Process};
use crate::events::Events;
use crate::flags;
use crate::fs;
use crate::host::Host;
use crate::listen::{self, Listener, Stale};
use crate::log::{self, LogFilter};
use crate::needs::Needs;
use crate::note::DaemonNote;
use crate::openapi;
use crate::operations::Operations;
use crate::origin_check::{LiveCheck, OriginCheck};
use crate::pins;
use crate::responses::Responses;
use crate::router::router;
use crate::scheduler::{self, ConfiguredLoader, Scheduler, Spares};
use crate::shutdown::Shutdown;
use crate::sources::Sources;
use crate::sweep::{Schedule, sweep};
use crate::template;
use crate::transfers::{StoreWorker, Transfers};
use crate::variants::{VariantChooser, VariantParts};
use crate::watchdog::ConnectionLimits;

/// Worker threads of the runtime. Long work runs in runners or on blocking threads.
const WORKERS: usize = 2;

/// How long a runner may take to exit before it gets SIGTERM.
pub(crate) const RUNNER_GRACE: Duration = Duration::from_secs(3);

/// Most bytes of a daemon's note.
const MAX_NOTE: u64 = 64 * 1024;

/// How long streams may take to send their last line after their runner is gone.
const STREAM_END: Duration = Duration::from_secs(1);

/// Runs the program: reads command line, file and environment, and serves until a signal.
pub fn main() -> ExitCode {
    let matches = flags::command().get_matches();
    if matches.subcommand_name() == Some(flags::OPENAPI) {
        return print_document();
    }
    let flags = flags::read(&matches);
    if let Some(command) = flags::config_command(&matches) {
        return configure(&command, &flags);
    }
    match serve_until_signal(flags, Process) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_line(&format!("slmd: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Shows, checks or changes the configuration.
fn configure(command: &ConfigCommand, flags: &config::Flags) -> ExitCode {
    let done = config::carry_out(command, flags, &Process, std::io::stdin().lock());
    match done.and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_line(&format!("slmd: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints the OpenAPI document to standard output.
fn print_document() -> ExitCode {
    match std::io::stdout().write_all(openapi::json().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_line(&format!("slmd: cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line to standard error, whatever the log level.
fn print_line(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn serve_until_signal(
    flags: config::Flags,
    environment: impl Environment + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let mut config = Config::load(&flags, &environment)?;
    let log = log::start(&config.log, config.log_json)?;
    for (key, value, origin) in &config.origins {
        tracing::info!(key, value, place = %origin, "configured");
    }
    if let Some(taken) = config.taken_from_ollama() {
        tracing::info!("taken from variables of Ollama: {taken}");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    config.max_connections = descriptors::make_room(config.max_connections);
    let config = LiveConfig::new(config, flags, environment);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(blocking::THREADS)
        .thread_name("slmd")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(async {
        // Before the start, which a signal can interrupt.
        let mut signals = Signals::listen()?;
        let service = Service::start_with(config, Some(log)).await?;
        print_line(&format!(
            "slmd {} is ready on {}",
            crate::VERSION,
            service.note
        ));
        let end = tokio::select! {
            () = signals.next() => Ok(()),
            error = service.broken() => Err(error),
        };
        tracing::info!("stopping; another signal stops at once");
        tokio::select! {
            () = service.stop() => tracing::info!("stopped"),
            () = signals.next() => tracing::warn!("stopped at once"),
        }
        end
    });
    // Remaining tasks end here, and runners with them.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// The signals that mean "stop".
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen to signals")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen to signals")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A running daemon.
pub struct Service {
    config: LiveConfig,
    note: DaemonNote,
    registry: Registry,
    spawner: Spawner,
    scheduler: Scheduler,
    shutdown: Shutdown,
    /// Cancelled when a listener ends without a stop.
    listener_closed: CancellationToken,
    /// Tasks of the scheduler, which outlive the connections.
    workers: TaskTracker,
}

impl Service {
    /// Opens the store, binds and serves. After it returns, the daemon answers requests.
    ///
    /// # Errors
    /// When the store is in use, a port is taken, or a folder cannot be created.
    pub async fn start(config: impl Into<LiveConfig>) -> anyhow::Result<Self> {
        Self::start_with(config.into(), None).await
    }

    async fn start_with(live: LiveConfig, log: Option<LogFilter>) -> anyhow::Result<Self> {
        let config = live.current();
        fs::private_dir(&config.home)?;
        fs::private_dir(&config.home.join("run"))?;
        let options = registry::Options {
            pull_rate: config.pull_rate,
            ..registry::Options::new(&config.home)
        };
        let registry = Registry::open(options)
            .await
            .context("cannot open the store")?;
        // Removes states that were saved with a larger budget.
        registry
            .trim_states(config.state_disk)
            .await
            .context("cannot remove saved states")?;
        let spawner = Spawner::start().context("cannot start threads")?;
        let shutdown = Shutdown::new();
        let workers = TaskTracker::new();
        let events = Events::new(shutdown.graceful.clone());
        let devices = devices(&config, &workers);
        let (scheduler, needs, accelerators) = start_scheduler(
            &live,
            &registry,
            &spawner,
            &devices,
            events.clone(),
            &workers,
        );
        let sources = Sources::of(live.clone());
        let variants = VariantChooser::new(VariantParts {
            registry: registry.clone(),
            sources: sources.clone(),
            needs: needs.clone(),
            accelerators: accelerators.clone(),
            devices: devices.clone(),
            config: live.clone(),
            events: events.clone(),
        });
        let transfers = Transfers::start(
            &registry,
            Arc::new(StoreWorker {
                registry: registry.clone(),
                sources: sources.clone(),
                variants: variants.clone(),
            }),
            apply::transfer_options(&config),
            Arc::new(jiff::Zoned::now),
            events.clone(),
            &shutdown,
        )
        .await
        .context("cannot read the saved transfers")?;
        let limits = apply::response_limits(&config);
        let responses = Responses::open(registry.clone(), limits, shutdown.clone())
            .await
            .context("cannot remove old responses")?;
        let (origin_check, live_check) = LiveCheck::new(OriginCheck::of(&config));
        let owners = Owners {
            registry: registry.clone(),
            scheduler: scheduler.clone(),
            transfers: transfers.clone(),
            responses: responses.clone(),
            origin_check,
            log,
        };
        let app = App {
            needs,
            adapters: Adapters::default(),
            accelerators,
            devices,
            events: events.clone(),
            responses,
            transfers,
            registry: registry.clone(),
            scheduler: scheduler.clone(),
            operations: Operations::new(shutdown.clone()),
            config: live.clone(),
            sources,
            variants,
            templates: template::Cache::default(),
        };
        let pins = pins::follow(app.clone());
        let listener_closed = CancellationToken::new();
        let note = open_listeners(&config, app, live_check, &shutdown, &listener_closed).await?;
        let watch = FileWatch::start(&config.home);
        let files = config::follow(live.clone(), registry.clone(), events, watch);
        let changes = owners.follow(live.clone());
        let graceful = shutdown.graceful.clone();
        shutdown.tasks.spawn(async move {
            let follow = async { tokio::join!(files, changes, pins) };
            graceful.run_until_cancelled(follow).await
        });
        shutdown.tasks.spawn(sweep(
            registry.clone(),
            Schedule::default(),
            shutdown.graceful.clone(),
        ));
        Ok(Self {
            config: live,
            note,
            registry,
            spawner,
            scheduler,
            shutdown,
            listener_closed,
            workers,
        })
    }

    /// Its addresses, and what else is in its note.
    pub fn note(&self) -> &DaemonNote {
        &self.note
    }

    /// Resolves when an essential task ended by a bug, with an error that names it.
    pub async fn broken(&self) -> anyhow::Error {
        let part = tokio::select! {
            () = self.scheduler.died() => "the scheduler",
            () = self.listener_closed.cancelled() => "a listener",
        };
        anyhow::anyhow!("{part} ended by a bug; the lines before say where")
    }

    /// Stops in order, within the grace period and a few seconds.
    pub async fn stop(self) {
        let Self {
            config,
            registry,
            spawner,
            scheduler,
            shutdown,
            workers,
            ..
        } = self;
        let config = config.current();
        // The listeners close, and the file of the socket is removed. Open requests may finish. Transfers end, and their partial
        // blobs stay.
        shutdown.graceful.cancel();
        if let Err(error) = fs::remove(&note_path(&config)) {
            tracing::warn!("{}", crate::error::chain(&error));
        }
        shutdown.tasks.close();
        if timeout(config.grace, shutdown.tasks.wait()).await.is_err() {
            tracing::warn!(grace = ?config.grace, "requests are still running, and are ended");
        }
        // The remaining streams end with an error line when their runners are gone.
        let runners = async {
            scheduler.close().await;
            spawner.drained().await;
            workers.close();
            workers.wait().await;
        };
        if timeout(scheduler::SAVING + 2 * RUNNER_GRACE + STREAM_END, runners)
            .await
            .is_err()
        {
            tracing::warn!("a runner does not leave, and is left to the system");
        }
        let _ = timeout(STREAM_END, shutdown.tasks.wait()).await;
        shutdown.force.cancel();
        let _ = timeout(STREAM_END, shutdown.tasks.wait()).await;
        registry.close().await;
    }
}

fn devices(config: &Config, workers: &TaskTracker) -> Devices {
    let mut program = scheduler::program(config.runner.clone(), config.sandbox, config.kernels);
    let derived = |name: &str| config.home.join("derived").join(name);
    let cpu = CpuModules::new(program.clone(), derived("cpu-module.json"), workers.clone());
    cpu.start_check();
    // Drivers read which devices they may use from them.
    program.env.extend(config.driver_variables.iter().cloned());
    Devices::new(program, derived("devices.json"), cpu, workers.clone())
}

fn start_scheduler(
    live: &LiveConfig,
    registry: &Registry,
    spawner: &Spawner,
    devices: &Devices,
    events: Events,
    workers: &TaskTracker,
) -> (Scheduler, Needs, Accelerators) {
    let config = live.current();
    let cpu = devices.cpu().clone();
    let needs = Needs::new(cpu.clone());
    let variables = config.driver_variables.clone();
    let accelerators = Accelerators::new(devices.clone(), variables, workers.clone());
    accelerators.start_probe(&config.backend);
    let loader = ConfiguredLoader {
        config: live.clone(),
        registry: registry.clone(),
        spares: Spares::new(spawner.clone(), config.spare_runners, workers.clone()),
        cpu,
        accelerators: accelerators.clone(),
        needs: needs.clone(),
        tasks: workers.clone(),
    };
    let options = apply::scheduler_options(&config);
    let scheduler = Scheduler::start(
        options,
        Arc::new(loader),
        Arc::new(Host::new(Root::system(), accelerators.clone())),
        events,
        workers,
    );
    (scheduler, needs, accelerators)
}

/// Binds the listeners and serves on them, then writes the daemon's note.
async fn open_listeners(
    config: &Config,
    app: App,
    origin_check: LiveCheck,
    shutdown: &Shutdown,
    closed: &CancellationToken,
) -> anyhow::Result<DaemonNote> {
    let tcp = open_port(config).await?;
    let unix = Listener::unix(&config.socket, stale(config)).await?;
    let own = tcp.address().unwrap_or(config.address);
    let further: Vec<SocketAddr> = config
        .also_listen
        .iter()
        .copied()
        .filter(|address| *address != own)
        .collect();
    let further = Listener::further(&further).await;
    let note = DaemonNote {
        also: further
            .iter()
            .filter_map(Listener::address)
            .map(|address| address.to_string())
            .collect(),
        ..DaemonNote::of(config, own)
    };
    let router = router(app, origin_check);
    let limits = ConnectionLimits {
        connections: config.max_connections,
        ..ConnectionLimits::default()
    };
    let permits = Arc::new(Semaphore::new(limits.connections));
    for listener in [tcp, unix].into_iter().chain(further) {
        let serving = accept::serve(
            listener,
            router.clone(),
            limits,
            permits.clone(),
            shutdown.clone(),
        );
        let closes = closed.clone().drop_guard();
        let graceful = shutdown.graceful.clone();
        shutdown.tasks.spawn(async move {
            // Dropped on a panic as well.
            let closes = closes;
            serving.await;
            if graceful.is_cancelled() {
                closes.disarm();
            }
        });
    }
    let text = serde_json::to_string(&note).context("cannot describe this daemon")?;
    fs::replace(&note_path(config), &text)?;
    tracing::info!(tcp = %note.tcp, socket = %note.socket, home = %config.home.display(), "ready");
    Ok(note)
}

/// Listens on the configured address. If the default port is taken, listens on a free one; a configured port is never replaced.
async fn open_port(config: &Config) -> Result<Listener, listen::Error> {
    match Listener::tcp(config.address).await {
        Err(taken @ listen::Error::Taken { .. }) if !config.port_is_set() => {
            tracing::warn!("{taken}; a free port is used instead");
            Listener::tcp(SocketAddr::new(config.address.ip(), 0)).await
        }
        opened => opened,
    }
}

/// Whether a socket without a listener belongs to this home: it is in the home, or in the note of the last daemon.
fn stale(config: &Config) -> Stale {
    #[derive(serde::Deserialize)]
    struct Last {
        socket: std::path::PathBuf,
    }
    let named = || {
        let text = fs::read_text(&note_path(config), MAX_NOTE).ok()??;
        let last: Last = serde_json::from_str(&text).ok()?;
        Some(last.socket == config.socket)
    };
    if config.socket.parent() == Some(&config.home.join("run")) || named() == Some(true) {
        Stale::Ours
    } else {
        Stale::Unknown
    }
}

/// Path of the daemon's note.
fn note_path(config: &Config) -> std::path::PathBuf {
    config.home.join(api::layout::NOTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    fn config(home: &std::path::Path, text: &str) -> Config {
        Config::from_text(home, text).unwrap()
    }

    async fn ask(mut stream: impl crate::listen::Io) -> String {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_on_both_listeners_and_a_stop_removes_its_files() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "port: 0");
        let service = Service::start(config.clone()).await.unwrap();
        let text = fs::read_text(&note_path(&config), 1000).unwrap().unwrap();
        let note: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(note["pid"], std::process::id());
        assert_eq!(note["version"], crate::VERSION);
        assert_eq!(note["home"], home.path().display().to_string());
        assert_eq!(note["uid"], rustix::process::geteuid().as_raw());
        assert!(
            note["started_at"].is_string() && note["log"].is_null(),
            "{text}"
        );

        let tcp = note["tcp"].as_str().unwrap().to_owned();
        let answer = ask(TcpStream::connect(&tcp).await.unwrap()).await;
        assert!(answer.ends_with("Ollama is running"), "{answer}");
        let unix = UnixStream::connect(note["socket"].as_str().unwrap())
            .await
            .unwrap();
        assert!(ask(unix).await.ends_with("Ollama is running"));

        service.stop().await;
        assert_eq!(fs::read_text(&note_path(&config), 1000).unwrap(), None);
        assert!(UnixStream::connect(&config.socket).await.is_err());
        assert!(TcpStream::connect(&tcp).await.is_err());
        Service::start(config).await.unwrap().stop().await;
    }

    #[tokio::test]
    async fn it_serves_on_a_further_address_with_the_same_checks() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "port: 0\nalso_listen: ['127.0.0.1:0']");
        let service = Service::start(config).await.unwrap();
        let [address] = &service.note().also[..] else {
            panic!("{:?}", service.note())
        };
        assert_ne!(*address, service.note().tcp);
        let answer = ask(TcpStream::connect(address).await.unwrap()).await;
        assert!(answer.ends_with("Ollama is running"), "{answer}");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let foreign = b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
        stream.write_all(foreign).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let address = address.clone();
        service.stop().await;
        assert!(TcpStream::connect(&address).await.is_err());
    }

    #[tokio::test]
    async fn a_further_address_that_is_taken_does_not_prevent_the_start() {
        let home = tempfile::tempdir().unwrap();
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = other.local_addr().unwrap();
        let config = config(home.path(), &format!("port: 0\nalso_listen: {taken}"));
        let service = Service::start(config).await.unwrap();
        assert_eq!(service.note().also, [""; 0]);
        let answer = ask(TcpStream::connect(&service.note().tcp).await.unwrap()).await;
        assert!(answer.ends_with("Ollama is running"), "{answer}");
        service.stop().await;
    }

    #[tokio::test]
    async fn a_second_daemon_on_the_same_home_is_refused_with_the_pid_of_the_first() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "port: 0");
        let first = Service::start(config.clone()).await.unwrap();
        let error = format!("{:#}", Service::start(config).await.err().unwrap());
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        first.stop().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_named_and_leaves_no_socket() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Service::start(config(one.path(), "port: 0")).await.unwrap();
        let port = first.note().tcp.rsplit(':').next().unwrap().to_owned();
        let second = config(two.path(), &format!("port: {port}"));
        let error = format!("{:#}", Service::start(second.clone()).await.err().unwrap());
        let home = one.path().display().to_string();
        assert!(error.contains(&port) && error.contains("--port"), "{error}");
        assert!(
            error.contains(&format!(
                "slmd {} of the home {home} listens",
                crate::VERSION
            )),
            "{error}"
        );
        assert!(UnixStream::connect(&second.socket).await.is_err());
        first.stop().await;
    }

    #[tokio::test]
    async fn a_second_daemon_without_a_configured_port_takes_a_free_one_and_notes_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Service::start(config(one.path(), "port: 0")).await.unwrap();
        // As if the default port were taken.
        let mut second = config(two.path(), "");
        second.address = first.note().tcp.parse().unwrap();
        let service = Service::start(second.clone()).await.unwrap();
        let text = fs::read_text(&note_path(&second), 1000).unwrap().unwrap();
        let note: serde_json::Value = serde_json::from_str(&text).unwrap();
        let tcp = note["tcp"].as_str().unwrap();
        assert_ne!(tcp, first.note().tcp);
        let answer = ask(TcpStream::connect(tcp).await.unwrap()).await;
        assert!(answer.ends_with("Ollama is running"), "{answer}");
        service.stop().await;
        first.stop().await;
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_daemon_left_is_replaced_also_outside_of_the_home() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut config = config(home.path(), "port: 0");
        config.socket = other.path().join("s.sock");
        let service = Service::start(config.clone()).await.unwrap();
        let left = fs::read_text(&note_path(&config), MAX_NOTE)
            .unwrap()
            .unwrap();
        service.stop().await;
        // As if it had been killed: the note and a socket without a listener are there.
        fs::replace(&note_path(&config), &left).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&config.socket).unwrap());
        Service::start(config.clone()).await.unwrap().stop().await;
        // Without the note the socket can belong to another program.
        drop(std::os::unix::net::UnixListener::bind(&config.socket).unwrap());
        let error = format!("{:#}", Service::start(config).await.err().unwrap());
        assert!(error.contains("another program"), "{error}");
    }

    #[tokio::test]
    async fn only_the_owner_can_open_its_files() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "port: 0");
        let service = Service::start(config.clone()).await.unwrap();
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&config.socket), 0o600);
        assert_eq!(mode(&home.path().join("run")), 0o700);
        assert_eq!(mode(&note_path(&config)), 0o600);
        service.stop().await;
    }
}
