//! The projector of a model: llama.cpp's library `mtmd`, which turns pixels into input of the model.
//!
//! It opens files, and reads image and sound formats and videos, too; of all that only the projector's own file is used.

use std::{
    ffi::{CString, c_void},
    marker::PhantomData,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use llama_cpp_sys_2 as sys;

use super::context::raw_model;

/// So many operations are computed between two questions to [`Witness::goes_on`].
const STRIDE: u32 = 16;

/// Sees how the work goes on, and may end it.
pub(crate) trait Witness: Send + Sync {
    /// Called while the projector computes. False ends it soon, and the result is not usable then.
    fn goes_on(&self) -> bool;
}

/// A projector of images.
pub(crate) struct Projector<'m> {
    context: NonNull<sys::mtmd_context>,
    /// Numbers for each cell of an image.
    width: usize,
    #[expect(
        dead_code,
        reason = "the context holds its address, so it must live as long"
    )]
    watch: Arc<Watch>,
    model: PhantomData<&'m LlamaModel>,
}

// SAFETY: The context is used by one thread at a time, because whatever computes takes `&mut self`, and it keeps nothing in its thread.
unsafe impl Send for Projector<'_> {}

/// What the callback of an operation finds.
struct Watch {
    witness: Arc<dyn Witness>,
    operations: AtomicU32,
}

/// The pixels of an image: red, green and blue, a byte each, line after line from the top left.
#[derive(Debug)]
pub(crate) struct Pixels {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    /// `width * height * 3` bytes.
    pub(crate) rgb: Vec<u8>,
}

/// An image, divided into what the model reads for it.
pub(crate) struct Divided {
    chunks: NonNull<sys::mtmd_input_chunks>,
    /// In order.
    pub(crate) parts: Vec<Part>,
}

/// Something that the model reads for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Tokens before, between or behind pictures.
    Tokens(Vec<LlamaToken>),
    /// The image, or a piece of it.
    Picture(Picture),
}

/// A piece of an image as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Cells of the cache that it takes; at least 1.
    pub(crate) cells: usize,
    /// How far it moves the position of what follows; less than `cells` where cells share positions.
    pub(crate) positions: usize,
    /// Where each cell lies, for models whose positions have several dimensions; else empty.
    pub(crate) places: Vec<Place>,
    /// Its cells see each other in both directions, so they are computed in one call.
    pub(crate) whole: bool,
}

/// A position of four dimensions: a number each, to which the position of the picture is added or not.
pub(crate) type Place = [(i32, bool); 4];

/// An image could not be divided or encoded. The log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

impl<'m> Projector<'m> {
    /// Opens a projector's file for a model. `None` when llama.cpp cannot, or when the two do not fit; its log says why.
    pub(crate) fn open(
        path: &Path,
        model: &'m LlamaModel,
        threads: i32,
        offload: bool,
        witness: Arc<dyn Witness>,
    ) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        let watch = Arc::new(Watch {
            witness,
            operations: AtomicU32::new(0),
        });
        // SAFETY: The function returns a value.
        let mut params = unsafe { sys::mtmd_context_params_default() };
        params.use_gpu = offload;
        params.print_timings = false;
        params.n_threads = threads;
        // The buffers are made for the first image; a trial at the start would take as long as that.
        params.warmup = false;
        params.cb_eval = Some(computed);
        params.cb_eval_user_data = Arc::as_ptr(&watch).cast_mut().cast();
        // SAFETY: The path is terminated, and the model is alive and outlives the context by its lifetime; the watch lives in `Self`.
        // Exceptions are caught by the function.
        let context = unsafe { sys::mtmd_init_from_file(path.as_ptr(), raw_model(model), params) };
        let context = NonNull::new(context)?;
        // SAFETY: The model is alive.
        let width = unsafe { sys::llama_model_n_embd_inp(raw_model(model)) };
        Some(Self {
            context,
            width: usize::try_from(width).ok()?,
            watch,
            model: PhantomData,
        })
    }

    /// Whether it takes images; others take sound only.
    pub(crate) fn sees(&self) -> bool {
        // SAFETY: The context is alive.
        unsafe { sys::mtmd_support_vision(self.context.as_ptr()) }
    }

    /// Whether pictures must be computed in one call.
    pub(crate) fn is_whole(&self) -> bool {
        // SAFETY: The context is alive; a null chunk asks for images.
        unsafe { sys::mtmd_decode_use_non_causal(self.context.as_ptr(), ptr::null()) }
    }

    /// Divides an image into pictures of the sizes that the model knows.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn divide(&mut self, pixels: &Pixels) -> Result<Divided, Failed> {
        assert_eq!(
            pixels.rgb.len(),
            pixels.width as usize * pixels.height as usize * 3,
            "three bytes for each pixel"
        );
        // SAFETY: The function takes nothing and returns an object that `Divided` frees.
        let chunks = unsafe { sys::mtmd_input_chunks_init() };
        let mut divided = Divided {
            chunks: NonNull::new(chunks).ok_or(Failed)?,
            parts: Vec::new(),
        };
        // SAFETY: The bytes are as many as the function copies; it returns an object that is freed below.
        let bitmap =
            unsafe { sys::mtmd_bitmap_init(pixels.width, pixels.height, pixels.rgb.as_ptr()) };
        let bitmap = NonNull::new(bitmap).ok_or(Failed)?;
        let part = sys::mtmd_input_part {
            text: ptr::null(),
            bitmap: bitmap.as_ptr(),
        };
        let parts = [ptr::from_ref(&part)];
        // SAFETY: Context, list, part and bitmap are alive during the call, and the bitmap is freed once. Exceptions are caught
        // by the function.
        let code = unsafe {
            let code = sys::mtmd_tokenize_from_parts(
                self.context.as_ptr(),
                divided.chunks.as_ptr(),
                parts.as_ptr(),
                parts.len(),
                false,
            );
            sys::mtmd_bitmap_free(bitmap.as_ptr());
            code
        };
        if code != 0 {
            return Err(Failed);
        }
        divided.parts = divided.read(self)?;
        Ok(divided)
    }

    /// Computes one picture of an image: [`Picture::cells`] times so many numbers as [`Projector::width`] says.
    ///
    /// # Errors
    /// [`Failed`].
    ///
    /// # Panics
    /// When that part is no picture.
    pub(crate) fn encode(&mut self, divided: &Divided, part: usize) -> Result<Vec<f32>, Failed> {
        let Part::Picture(Picture { cells, .. }) = &divided.parts[part] else {
            panic!("only pictures are encoded");
        };
        // SAFETY: Context and chunk are alive. Exceptions are caught by the function.
        unsafe {
            let chunk = sys::mtmd_input_chunks_get(divided.chunks.as_ptr(), part);
            if sys::mtmd_encode_chunk(self.context.as_ptr(), chunk) != 0 {
                return Err(Failed);
            }
        }
        // SAFETY: After a good call the context has that many numbers for each token of the chunk, until the next one.
        let numbers = unsafe {
            let numbers = sys::mtmd_get_output_embd(self.context.as_ptr());
            if numbers.is_null() {
                return Err(Failed);
            }
            slice::from_raw_parts(numbers, cells * self.width)
        };
        Ok(numbers.to_vec())
    }

    /// Numbers for each cell.
    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

impl Drop for Projector<'_> {
    fn drop(&mut self) {
        // SAFETY: The context came from `mtmd_init_from_file` and is freed once, before its model and before the watch.
        unsafe { sys::mtmd_free(self.context.as_ptr()) }
    }
}

impl Divided {
    fn read(&self, projector: &Projector<'_>) -> Result<Vec<Part>, Failed> {
        let whole = projector.is_whole();
        // SAFETY: The context is alive.
        let places = unsafe { sys::mtmd_decode_use_mrope(projector.context.as_ptr()) };
        // SAFETY: The list is alive.
        let count = unsafe { sys::mtmd_input_chunks_size(self.chunks.as_ptr()) };
        (0..count)
            .map(|index| {
                // SAFETY: The list is alive, and the index below its size; what it returns lives as long as the list.
                let chunk = unsafe { sys::mtmd_input_chunks_get(self.chunks.as_ptr(), index) };
                // SAFETY: The chunk is alive.
                let kind = unsafe { sys::mtmd_input_chunk_get_type(chunk) };
                match kind {
                    sys::MTMD_INPUT_CHUNK_TYPE_TEXT => Ok(Part::Tokens(tokens(chunk))),
                    sys::MTMD_INPUT_CHUNK_TYPE_IMAGE => {
                        picture(chunk, places, whole).map(Part::Picture)
                    }
                    _ => Err(Failed),
                }
            })
            .collect()
    }
}

impl Drop for Divided {
    fn drop(&mut self) {
        // SAFETY: The list came from `mtmd_input_chunks_init` and is freed once.
        unsafe { sys::mtmd_input_chunks_free(self.chunks.as_ptr()) }
    }
}

fn tokens(chunk: *const sys::mtmd_input_chunk) -> Vec<LlamaToken> {
    let mut count = 0;
    // SAFETY: The chunk is alive; the function says how many tokens stand where it points to.
    let tokens = unsafe {
        let tokens = sys::mtmd_input_chunk_get_tokens_text(chunk, &raw mut count);
        if tokens.is_null() || count == 0 {
            return Vec::new();
        }
        slice::from_raw_parts(tokens, count)
    };
    tokens.iter().copied().map(LlamaToken::new).collect()
}

fn picture(
    chunk: *const sys::mtmd_input_chunk,
    has_places: bool,
    whole: bool,
) -> Result<Picture, Failed> {
    // SAFETY: The chunk is alive.
    let (cells, positions) = unsafe {
        (
            sys::mtmd_input_chunk_get_n_tokens(chunk),
            sys::mtmd_input_chunk_get_n_pos(chunk),
        )
    };
    let positions = usize::try_from(positions).map_err(|_| Failed)?;
    if cells == 0 || positions == 0 || positions > cells {
        return Err(Failed);
    }
    let places = match has_places {
        true => (0..cells).map(|at| place(chunk, at)).collect(),
        false => Vec::new(),
    };
    Ok(Picture {
        cells,
        positions,
        places,
        whole,
    })
}

/// Where a cell lies. Asked for two positions of the picture, so that it shows which dimensions go with it.
fn place(chunk: *const sys::mtmd_input_chunk, at: usize) -> Place {
    // SAFETY: The chunk is alive and of an image, and the index below its number of tokens.
    let [here, there] = [0, 1].map(|position| unsafe {
        let image = sys::mtmd_input_chunk_get_tokens_image(chunk);
        let place = sys::mtmd_image_tokens_get_decoder_pos(image, position, at);
        // In the order in which a batch has them.
        [place.t, place.y, place.x, place.z].map(u32::cast_signed)
    });
    std::array::from_fn(|dimension| (here[dimension], there[dimension] != here[dimension]))
}

/// Asked by llama.cpp: first which operations it should stop behind, and there whether to go on.
unsafe extern "C" fn computed(_: *mut sys::ggml_tensor, asks: bool, watch: *mut c_void) -> bool {
    // SAFETY: The pointer came from `Arc::as_ptr` of the watch that `Projector` holds, and the context that asks is one of its
    // fields. It is only read through: what changes in it is atomic.
    let watch = unsafe { &*watch.cast_const().cast::<Watch>() };
    if !asks {
        return watch.witness.goes_on();
    }
    let before = watch.operations.fetch_add(1, Ordering::Relaxed);
    before.wrapping_add(1).is_multiple_of(STRIDE)
}
