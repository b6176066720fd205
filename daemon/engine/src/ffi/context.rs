//! A context of llama.cpp: the KV cache, the buffers to compute in, and the results of the last decode call.
//!
//! `llama-cpp-2` has one too, but there a decode call cannot be stopped, the number of its outputs cannot be bounded,
//! and several adapters cannot be set; so this one goes to the same library directly.

use std::{
    ffi::{c_int, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use llama_cpp_2::{
    model::{LlamaLoraAdapter, LlamaModel},
    token::LlamaToken,
};
use llama_cpp_sys_2 as sys;
use runner_protocol::{KvType, MemoryPart};

use super::memory_report;

unsafe extern "C" {
    fn slm_graph_splits(context: *const sys::llama_context) -> c_int;
}

/// How large a context is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Tokens that the cache holds, of all sequences together.
    pub(crate) cells: u32,
    /// Most tokens of one decode call.
    pub(crate) batch: u32,
    /// Most tokens that the kernels take at once.
    pub(crate) micro_batch: u32,
    /// Sequences are numbered below this.
    pub(crate) sequences: u32,
    /// Most outputs of one decode call; at least as many as there are sequences.
    pub(crate) outputs: u32,
    /// Threads that compute.
    pub(crate) threads: i32,
    /// Type of keys and values.
    pub(crate) kv_type: KvType,
}

/// Why a decode call computed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The cache has no room for the batch.
    #[error("the KV cache is full")]
    Full,
    /// It was stopped. What the cache holds of the sequences in the batch has to be asked.
    #[error("the decode call was stopped")]
    Stopped,
    /// llama.cpp refused or failed, with its code.
    #[error("llama.cpp's decode call failed with code {0}")]
    Failed(i32),
}

/// A context of a model.
#[derive(Debug)]
pub(crate) struct Context<'m> {
    context: NonNull<sys::llama_context>,
    vocabulary: usize,
    /// Asked between two operations of a decode call.
    #[expect(
        dead_code,
        reason = "the context holds its address, so it must live as long"
    )]
    stop: Arc<AtomicBool>,
    model: PhantomData<&'m LlamaModel>,
}

/// Cells of a picture, for one decode call.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// As many for each cell as the model takes.
    pub(crate) numbers: &'a [f32],
    /// For each dimension of a position that of each cell; one dimension or four.
    pub(crate) positions: Vec<i32>,
    /// How many cells.
    pub(crate) cells: usize,
    /// Whose.
    pub(crate) sequence: u32,
    /// They see each other in both directions.
    pub(crate) whole: bool,
    /// There are logits for the last of them.
    pub(crate) output: bool,
}

/// Tokens for one decode call.
#[derive(Debug)]
pub(crate) struct Batch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    sequences: Vec<sys::llama_seq_id>,
    outputs: Vec<i8>,
    /// One sequence for each token.
    counts: Vec<i32>,
    /// Where the sequence of each token stands; filled in just before a decode call.
    pointers: Vec<*mut sys::llama_seq_id>,
}

impl<'m> Context<'m> {
    /// Makes a context. `None` when llama.cpp cannot; its log says why.
    ///
    /// Setting `stop` ends a decode call on the CPU soon, with [`DecodeError::Stopped`].
    pub(crate) fn new(
        model: &'m LlamaModel,
        settings: Settings,
        stop: Arc<AtomicBool>,
    ) -> Option<Self> {
        // SAFETY: The function returns a value.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = settings.cells;
        params.n_batch = settings.batch;
        params.n_ubatch = settings.micro_batch;
        params.n_seq_max = settings.sequences;
        params.n_outputs_max = settings.outputs.max(settings.sequences);
        // Only backend samplers, which are not used, count the outputs of a sequence.
        params.n_outputs_max_per_seq = 0;
        params.n_threads = settings.threads;
        params.n_threads_batch = settings.threads;
        params.no_perf = true;
        params.swa_full = false;
        params.type_k = ggml_type(settings.kv_type);
        params.type_v = ggml_type(settings.kv_type);
        // One pool of cells that any sequence may fill, and whose cells several may share.
        params.kv_unified = true;
        params.abort_callback = Some(stopped);
        params.abort_callback_data = Arc::as_ptr(&stop).cast_mut().cast();
        // SAFETY: The model is alive and outlives the context by its lifetime; the flag behind the callback lives in `Self`.
        let context = unsafe { sys::llama_init_from_model(raw_model(model), params) };
        Some(Self {
            context: NonNull::new(context)?,
            vocabulary: usize::try_from(model.n_vocab()).ok()?,
            stop,
            model: PhantomData,
        })
    }

    /// The number of parts that llama.cpp cut the model's graph into; each is computed by one backend.
    pub(crate) fn splits(&self) -> i32 {
        // SAFETY: The context is alive.
        unsafe { slm_graph_splits(self.context.as_ptr()) }
    }

    /// Tokens that the cache holds; at least as many as were asked for.
    pub(crate) fn cells(&self) -> u32 {
        // SAFETY: The context is alive.
        unsafe { sys::llama_n_ctx(self.context.as_ptr()) }
    }

    /// Most tokens of one decode call; at most as many as were asked for.
    pub(crate) fn batch(&self) -> u32 {
        // SAFETY: The context is alive.
        unsafe { sys::llama_n_batch(self.context.as_ptr()) }
    }

    /// Most tokens that the kernels take at once, and most cells of a picture that is computed in one call.
    pub(crate) fn micro_batch(&self) -> u32 {
        // SAFETY: The context is alive.
        unsafe { sys::llama_n_ubatch(self.context.as_ptr()) }
    }

    /// Computes cells of a picture, and waits until it is done.
    ///
    /// # Errors
    /// See [`DecodeError`].
    ///
    /// # Panics
    /// When the cells are more than fit a call, or their numbers and positions not as many as they should be;
    /// llama.cpp would answer the first with an abort, and read beyond the end at the second.
    pub(crate) fn decode_view(&mut self, view: &mut View<'_>) -> Result<(), DecodeError> {
        let most = if view.whole {
            self.micro_batch()
        } else {
            self.batch()
        };
        // SAFETY: The context is alive, and so is its model.
        let (width, dimensions) = unsafe {
            let model = sys::llama_get_model(self.context.as_ptr());
            let several = matches!(
                sys::llama_model_rope_type(model),
                sys::LLAMA_ROPE_TYPE_MROPE | sys::LLAMA_ROPE_TYPE_IMROPE
            );
            let width = usize::try_from(sys::llama_model_n_embd_inp(model)).unwrap_or(0);
            (width, if several { 4 } else { 1 })
        };
        assert!(
            (1..=most as usize).contains(&view.cells)
                && view.numbers.len() == view.cells * width
                && view.positions.len() == view.cells * dimensions,
            "a view is made for this model, and planned to fit"
        );
        let mut counts = vec![1; view.cells];
        let mut sequence = id(view.sequence);
        let mut sequences = vec![&raw mut sequence; view.cells];
        let mut outputs = vec![0; view.cells];
        outputs[view.cells - 1] = i8::from(view.output);
        let raw = sys::llama_batch {
            n_tokens: i32::try_from(view.cells).expect("a batch has at most 2^16 tokens"),
            token: ptr::null_mut(),
            embd: view.numbers.as_ptr().cast_mut(),
            pos: view.positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: sequences.as_mut_ptr(),
            logits: outputs.as_mut_ptr(),
        };
        // SAFETY: The context is alive. All arrays live during the call and have the lengths that were checked; the numbers are only read.
        let code = unsafe {
            sys::llama_set_causal_attn(self.context.as_ptr(), !view.whole);
            let code = sys::llama_decode(self.context.as_ptr(), raw);
            sys::llama_synchronize(self.context.as_ptr());
            sys::llama_set_causal_attn(self.context.as_ptr(), true);
            code
        };
        decoded(code)
    }

    /// Computes a batch, and waits until it is done.
    ///
    /// # Errors
    /// See [`DecodeError`].
    ///
    /// # Panics
    /// When the batch has more tokens than [`Context::batch`], which llama.cpp would answer with an abort.
    pub(crate) fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        assert!(
            batch.len() <= self.batch() as usize,
            "a batch is planned to fit"
        );
        let raw = batch.raw();
        // SAFETY: The context is alive, and the batch's vectors live and have `n_tokens` elements each during the call.
        // Bad tokens and sequences are refused by llama.cpp with a code.
        let code = unsafe {
            let code = sys::llama_decode(self.context.as_ptr(), raw);
            sys::llama_synchronize(self.context.as_ptr());
            code
        };
        decoded(code)
    }

    /// Logits of the token at this index of the last batch, one for each word of the vocabulary.
    ///
    /// # Panics
    /// When that token was no output.
    pub(crate) fn logits(&self, index: i32) -> &[f32] {
        // SAFETY: The context is alive. The function checks the index and returns null or `n_vocab` floats, which stay until the next decode call;
        // that needs `&mut self`.
        unsafe {
            let logits = sys::llama_get_logits_ith(self.context.as_ptr(), index);
            assert!(!logits.is_null(), "the token is an output");
            slice::from_raw_parts(logits, self.vocabulary)
        }
    }

    /// Forgets a sequence.
    pub(crate) fn remove(&mut self, sequence: u32) {
        // SAFETY: The context and its memory are alive. Removing a whole sequence never fails.
        unsafe { sys::llama_memory_seq_rm(self.memory(), id(sequence), -1, -1) };
    }

    /// Forgets the tokens of a sequence from this position on. False when the cache cannot.
    pub(crate) fn cut(&mut self, sequence: u32, position: i32) -> bool {
        // SAFETY: The context and its memory are alive, and the sequence is below the limit, which llama.cpp would answer with an abort.
        unsafe {
            assert!(
                sequence < sys::llama_n_seq_max(self.context.as_ptr()),
                "sequences are numbered below the limit"
            );
            sys::llama_memory_seq_rm(self.memory(), id(sequence), position, -1)
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        // SAFETY: The context and its memory are alive.
        unsafe { sys::llama_memory_clear(self.memory(), false) }
    }

    /// Lets `to` share the cells of `from` at the positions in `range`.
    pub(crate) fn copy(&mut self, from: u32, to: u32, range: std::ops::Range<i32>) {
        // SAFETY: The context and its memory are alive, and both sequences are below the limit, which llama.cpp would answer with an abort.
        unsafe {
            assert!(
                from.max(to) < sys::llama_n_seq_max(self.context.as_ptr()),
                "sequences are numbered below the limit"
            );
            sys::llama_memory_seq_cp(self.memory(), id(from), id(to), range.start, range.end);
        }
    }

    /// Bytes of what the cache holds of a sequence.
    pub(crate) fn state_size(&mut self, sequence: u32) -> usize {
        // SAFETY: The context is alive. The function only counts, and catches what is thrown.
        unsafe { sys::llama_state_seq_get_size(self.context.as_ptr(), id(sequence)) }
    }

    /// A copy of what the cache holds of a sequence; `None` when there is no memory for it, or llama.cpp fails.
    pub(crate) fn state(&mut self, sequence: u32) -> Option<Vec<u8>> {
        let size = self.state_size(sequence);
        let mut state: Vec<u8> = Vec::new();
        state.try_reserve_exact(size).ok()?;
        // SAFETY: The context is alive, and the vector has room for `size` bytes; the function writes no more, catches what is thrown,
        // and says how many it wrote: all of them are initialised then.
        unsafe {
            let written = sys::llama_state_seq_get_data(
                self.context.as_ptr(),
                state.as_mut_ptr(),
                size,
                id(sequence),
            );
            if size == 0 || written != size {
                return None;
            }
            state.set_len(size);
        }
        Some(state)
    }

    /// Gives a sequence what [`Context::state`] copied, in place of what it has. False when it does not fit this context;
    /// then the content of the sequence is unknown.
    ///
    /// The bytes must be as they were, because llama.cpp answers some others with an abort.
    pub(crate) fn set_state(&mut self, sequence: u32, state: &[u8]) -> bool {
        // SAFETY: The context is alive, the sequence is below the limit, which llama.cpp would answer with an abort, and the slice is alive
        // during the call. The function reads no byte behind it, and catches what is thrown.
        unsafe {
            assert!(
                sequence < sys::llama_n_seq_max(self.context.as_ptr()),
                "sequences are numbered below the limit"
            );
            let read = sys::llama_state_seq_set_data(
                self.context.as_ptr(),
                state.as_ptr(),
                state.len(),
                id(sequence),
            );
            read == state.len()
        }
    }

    /// First and last position that the cache holds of a sequence, if any.
    pub(crate) fn positions(&self, sequence: u32) -> Option<(i32, i32)> {
        // SAFETY: The context and its memory are alive.
        let (first, last) = unsafe {
            (
                sys::llama_memory_seq_pos_min(self.memory(), id(sequence)),
                sys::llama_memory_seq_pos_max(self.memory(), id(sequence)),
            )
        };
        (last >= 0).then_some((first, last))
    }

    /// Sets the adapters for the decode calls that follow, each with its scale. They belong to the same model.
    ///
    /// # Errors
    /// llama.cpp's code.
    pub(crate) fn set_adapters(
        &mut self,
        adapters: Vec<(&LlamaLoraAdapter, f32)>,
    ) -> Result<(), i32> {
        // SAFETY: The context is alive.
        unsafe { set_adapters(self.context.as_ptr(), adapters) }
    }

    /// The bytes of the model and of this context, by device.
    pub(crate) fn memory_parts(&self) -> Vec<MemoryPart> {
        // SAFETY: The context is alive.
        unsafe { memory_report::parts(self.context.as_ptr()) }
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: The context is alive.
        unsafe { sys::llama_get_memory(self.context.as_ptr()) }
    }
}

/// Sets the adapters of a context, each with its scale.
///
/// # Safety
/// The context is alive, and the adapters belong to its model, which frees them.
pub(super) unsafe fn set_adapters(
    context: *mut sys::llama_context,
    adapters: Vec<(&LlamaLoraAdapter, f32)>,
) -> Result<(), i32> {
    let (mut adapters, mut scales): (Vec<_>, Vec<f32>) = adapters
        .into_iter()
        .map(|(adapter, scale)| (raw_adapter(adapter), scale))
        .unzip();
    // SAFETY: The caller keeps context and adapters alive. Both vectors have `len` elements; they are copied.
    let code = unsafe {
        sys::llama_set_adapters_lora(
            context,
            adapters.as_mut_ptr(),
            adapters.len(),
            scales.as_mut_ptr(),
        )
    };
    if code == 0 { Ok(()) } else { Err(code) }
}

/// ggml's number of a type.
fn ggml_type(kind: KvType) -> sys::ggml_type {
    match kind {
        KvType::F16 => sys::GGML_TYPE_F16,
        KvType::Q8_0 => sys::GGML_TYPE_Q8_0,
        KvType::Q4_0 => sys::GGML_TYPE_Q4_0,
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: The context came from `llama_init_from_model` and is freed once, before its model and before the flag.
        unsafe { sys::llama_free(self.context.as_ptr()) }
    }
}

impl Batch {
    /// An empty batch.
    pub(crate) fn new() -> Self {
        Self {
            tokens: Vec::new(),
            positions: Vec::new(),
            sequences: Vec::new(),
            outputs: Vec::new(),
            counts: Vec::new(),
            pointers: Vec::new(),
        }
    }

    /// Takes all tokens out.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.outputs.clear();
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Adds a token of a sequence at a position. Says its index; with `output`, there are logits for it.
    pub(crate) fn push(
        &mut self,
        token: LlamaToken,
        position: usize,
        sequence: u32,
        output: bool,
    ) -> i32 {
        let index = i32::try_from(self.len()).expect("a batch has at most 2^16 tokens");
        self.tokens.push(token.0);
        self.positions
            .push(i32::try_from(position).expect("a context has at most 2^20 cells"));
        self.sequences.push(id(sequence));
        self.outputs.push(i8::from(output));
        index
    }

    /// The batch as llama.cpp wants it; it points into `self`.
    pub(super) fn raw(&mut self) -> sys::llama_batch {
        self.counts.clear();
        self.counts.resize(self.len(), 1);
        self.pointers.clear();
        self.pointers
            .extend(self.sequences.iter_mut().map(ptr::from_mut));
        sys::llama_batch {
            n_tokens: i32::try_from(self.len()).expect("a batch has at most 2^16 tokens"),
            token: self.tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.pointers.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}

/// Length of the window that a model's attention slides, in tokens; 0 when it sees everything.
pub(crate) fn window(model: &LlamaModel) -> u32 {
    // SAFETY: The model is alive.
    let window = unsafe { sys::llama_model_n_swa(raw_model(model)) };
    u32::try_from(window).unwrap_or(0)
}

/// Asked by llama.cpp between two operations; `true` ends the decode call.
pub(super) unsafe extern "C" fn stopped(flag: *mut c_void) -> bool {
    // SAFETY: The pointer is that of the flag that `Context` holds, and the context that asks is one of its fields.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

/// What llama.cpp's code means.
fn decoded(code: i32) -> Result<(), DecodeError> {
    match code {
        0 => Ok(()),
        1 => Err(DecodeError::Full),
        2 => Err(DecodeError::Stopped),
        code => Err(DecodeError::Failed(code)),
    }
}

fn id(sequence: u32) -> sys::llama_seq_id {
    i32::try_from(sequence).expect("there are at most 256 sequences")
}

// The exact version of `llama-cpp-2` in Cargo.toml says `repr(transparent)` of both types, around a pointer that is never null;
// it keeps the pointers to itself. A version that changed that would most likely change the size, too.
const _: () = assert!(size_of::<LlamaModel>() == size_of::<*mut sys::llama_model>());
const _: () = assert!(size_of::<LlamaLoraAdapter>() == size_of::<*mut sys::llama_adapter_lora>());

pub(super) fn raw_model(model: &LlamaModel) -> *mut sys::llama_model {
    // SAFETY: See above: the model is its pointer.
    unsafe { ptr::from_ref(model).cast::<*mut sys::llama_model>().read() }
}

fn raw_adapter(adapter: &LlamaLoraAdapter) -> *mut sys::llama_adapter_lora {
    // SAFETY: See above: the adapter is its pointer.
    unsafe {
        ptr::from_ref(adapter)
            .cast::<*mut sys::llama_adapter_lora>()
            .read()
    }
}
