//! A context of llama.cpp that reads whole texts and gives one vector for each, instead of the next word.
//!
//! It remembers nothing from one batch to the next.

use std::{
    marker::PhantomData,
    ptr::NonNull,
    slice,
    sync::{Arc, atomic::AtomicBool},
};

use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_sys_2 as sys;

use runner_protocol::MemoryPart;

use super::context::{Batch, DecodeError, raw_model, set_adapters, stopped};
use super::memory_report;

/// How a text's vector comes from those of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    First,
    /// The last one.
    Last,
    /// No vector, but a judgement on a pair of texts.
    Rank,
}

/// How large the context is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Most tokens of one batch, of all texts together. The kernels take them all at once.
    pub(crate) batch: u32,
    /// Texts of one batch are numbered below this.
    pub(crate) texts: u32,
    /// Threads that compute.
    pub(crate) threads: i32,
    /// What the model was made for.
    pub(crate) pooling: Pooling,
}

/// A context of a model that embeds or ranks.
#[derive(Debug)]
pub(crate) struct Pooled<'m> {
    context: NonNull<sys::llama_context>,
    /// Numbers in one result.
    width: usize,
    batch: usize,
    /// Asked between two operations of a decode call.
    #[expect(
        dead_code,
        reason = "the context holds its address, so it must live as long"
    )]
    stop: Arc<AtomicBool>,
    model: PhantomData<&'m LlamaModel>,
}

impl<'m> Pooled<'m> {
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
        // A cache, where the model has one, holds one batch. llama.cpp makes a batch no larger than it.
        params.n_ctx = settings.batch;
        params.n_batch = settings.batch;
        // Every token of a text has to be there when its vector is made.
        params.n_ubatch = settings.batch;
        params.n_seq_max = settings.texts;
        params.n_outputs_max = settings.batch;
        params.n_threads = settings.threads;
        params.n_threads_batch = settings.threads;
        params.no_perf = true;
        params.swa_full = false;
        params.kv_unified = true;
        params.embeddings = true;
        params.pooling_type = match settings.pooling {
            Pooling::Mean => sys::LLAMA_POOLING_TYPE_MEAN,
            Pooling::First => sys::LLAMA_POOLING_TYPE_CLS,
            Pooling::Last => sys::LLAMA_POOLING_TYPE_LAST,
            Pooling::Rank => sys::LLAMA_POOLING_TYPE_RANK,
        };
        params.abort_callback = Some(stopped);
        params.abort_callback_data = Arc::as_ptr(&stop).cast_mut().cast();
        // SAFETY: The model is alive and outlives the context by its lifetime; the flag behind the callback lives in `Self`.
        let context = unsafe { sys::llama_init_from_model(raw_model(model), params) };
        let context = NonNull::new(context)?;
        // SAFETY: The model and the context are alive.
        let (width, batch) = unsafe {
            let width = match settings.pooling {
                Pooling::Rank => sys::llama_model_n_cls_out(raw_model(model)),
                _ => sys::llama_model_n_embd_out(raw_model(model))
                    .try_into()
                    .unwrap_or(0),
            };
            (width, sys::llama_n_batch(context.as_ptr()))
        };
        Some(Self {
            context,
            width: width as usize,
            batch: batch.min(settings.batch) as usize,
            stop,
            model: PhantomData,
        })
    }

    /// The bytes of the model and of this context, by device.
    pub(crate) fn memory_parts(&self) -> Vec<MemoryPart> {
        // SAFETY: The context is alive.
        unsafe { memory_report::parts(self.context.as_ptr()) }
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

    /// Numbers in one result.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Most tokens of one batch; at most as many as were asked for.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Computes a batch of whole texts, and waits until it is done.
    ///
    /// # Errors
    /// See [`DecodeError`].
    ///
    /// # Panics
    /// When the batch has more tokens than [`Pooled::batch`], which llama.cpp would answer with an abort.
    pub(crate) fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        assert!(batch.len() <= self.batch, "a batch is planned to fit");
        let raw = batch.raw();
        // SAFETY: The context is alive, and the batch's vectors live and have `n_tokens` elements each during the call.
        // Bad tokens and sequences are refused by llama.cpp with a code. A model without a cache has no memory, which `llama_memory_clear` allows for.
        let code = unsafe {
            sys::llama_memory_clear(sys::llama_get_memory(self.context.as_ptr()), false);
            let code = sys::llama_decode(self.context.as_ptr(), raw);
            sys::llama_synchronize(self.context.as_ptr());
            code
        };
        match code {
            0 => Ok(()),
            1 => Err(DecodeError::Full),
            2 => Err(DecodeError::Stopped),
            code => Err(DecodeError::Failed(code)),
        }
    }

    /// What came of the text with this number in the last batch.
    ///
    /// # Panics
    /// When that text was not in it.
    pub(crate) fn result(&self, text: u32) -> &[f32] {
        let text = i32::try_from(text).expect("there are at most 256 sequences");
        // SAFETY: The context is alive. The function returns null or the first of `width` floats of a vector that llama.cpp keeps for this
        // sequence until the next decode call; that needs `&mut self`.
        unsafe {
            let result = sys::llama_get_embeddings_seq(self.context.as_ptr(), text);
            assert!(!result.is_null(), "the text is in the batch");
            slice::from_raw_parts(result, self.width)
        }
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        // SAFETY: The context came from `llama_init_from_model` and is freed once, before its model and before the flag.
        unsafe { sys::llama_free(self.context.as_ptr()) }
    }
}
