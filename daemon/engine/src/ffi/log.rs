//! The log of llama.cpp and of its backends: it becomes a part of ours.
//!
//! llama.cpp tells why something failed in its log only, so its first error is kept for the answer to the daemon.

use std::{
    ffi::{CStr, c_char, c_void},
    sync::Mutex,
};

/// Target of llama.cpp's lines.
macro_rules! native {
    () => {
        "llama.cpp"
    };
}

/// Sends the log of llama.cpp and of its backends to [`line`].
pub(crate) fn redirect() {
    // SAFETY: The callback is a function without state that may be called from any thread; no user data is passed.
    unsafe {
        llama_cpp_sys_2::llama_log_set(Some(on_log), std::ptr::null_mut());
        llama_cpp_sys_2::ggml_log_set(Some(on_log), std::ptr::null_mut());
        llama_cpp_sys_2::mtmd_log_set(Some(on_log), std::ptr::null_mut());
    }
}

unsafe extern "C" fn on_log(
    level: llama_cpp_sys_2::ggml_log_level,
    text: *const c_char,
    _: *mut c_void,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a terminated text that lives during the call.
    let text = unsafe { CStr::from_ptr(text) };
    line(level, &text.to_string_lossy());
}

/// The first error that llama.cpp logged since this was asked before: what follows it tells less and less.
pub(crate) fn take_first_error() -> Option<String> {
    STATE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .first_error
        .take()
}

struct State {
    /// A line that came in pieces, with its level.
    partial: Option<(u32, String)>,
    first_error: Option<String>,
}

/// Pieces of one line may come from several calls; lines of several threads may then mix, which does no harm.
static STATE: Mutex<State> = Mutex::new(State {
    partial: None,
    first_error: None,
});

/// Takes what llama.cpp logs: a line, or a piece of one.
fn line(level: llama_cpp_sys_2::ggml_log_level, text: &str) {
    let mut state = STATE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let (level, line) = match state.partial.take() {
        Some((begun, line)) if level == llama_cpp_sys_2::GGML_LOG_LEVEL_CONT => {
            (begun, line + text)
        }
        _ => (level, String::from(text)),
    };
    if !line.ends_with('\n') {
        state.partial = Some((level, line));
        return;
    }
    let line = line.trim();
    if level == llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR {
        state
            .first_error
            .get_or_insert_with(|| without_function(line).into());
    }
    drop(state);
    // Its informational lines are for developers, so they go one level down.
    match level {
        llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR => tracing::error!(target: native!(), "{line}"),
        llama_cpp_sys_2::GGML_LOG_LEVEL_WARN => tracing::warn!(target: native!(), "{line}"),
        llama_cpp_sys_2::GGML_LOG_LEVEL_INFO => tracing::debug!(target: native!(), "{line}"),
        _ => tracing::trace!(target: native!(), "{line}"),
    }
}

/// Lines begin with the name of the function that wrote them.
fn without_function(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest))
            if name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
        {
            rest
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the state is global.
    #[test]
    fn the_first_error_is_kept_whole_and_handed_out_once() {
        line(
            llama_cpp_sys_2::GGML_LOG_LEVEL_WARN,
            "llama_model_load: look out\n",
        );
        line(
            llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR,
            "llama_model_load: error ",
        );
        line(
            llama_cpp_sys_2::GGML_LOG_LEVEL_CONT,
            "loading model: key not found\n",
        );
        line(
            llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR,
            "llama_model_load_from_file: failed\n",
        );
        assert_eq!(
            take_first_error().as_deref(),
            Some("error loading model: key not found")
        );
        assert_eq!(take_first_error(), None);
        // A continuation of nothing is a line.
        line(llama_cpp_sys_2::GGML_LOG_LEVEL_CONT, "...\n");
        assert_eq!(take_first_error(), None);
    }
}
