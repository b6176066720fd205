//! Chat templates and answers in the form that they ask for, by llama.cpp's `common` library behind our C++ shim.

use std::{
    ffi::{c_char, c_int},
    marker::PhantomData,
    ptr::NonNull,
};

/// Layouts and functions of `shim/chat.h`; what they promise is written there.
mod shim {
    use super::{PhantomData, c_char, c_int};

    /// `struct slm_str`, with the lifetime of what it points to.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub(super) struct Str<'a> {
        data: *const c_char,
        size: usize,
        owner: PhantomData<&'a str>,
    }

    impl<'a> From<&'a str> for Str<'a> {
        fn from(text: &'a str) -> Self {
            Self {
                data: text.as_ptr().cast(),
                size: text.len(),
                owner: PhantomData,
            }
        }
    }

    /// `struct slm_text`.
    #[repr(C)]
    pub(super) struct Text {
        pub(super) data: *mut c_char,
        pub(super) size: usize,
    }

    /// `struct slm_chat`, never looked into.
    #[repr(C)]
    pub(super) struct Chat {
        opaque: [u8; 0],
    }

    /// `struct slm_form`, never looked into.
    #[repr(C)]
    pub(super) struct Form {
        opaque: [u8; 0],
    }

    /// `struct slm_reader`, never looked into.
    #[repr(C)]
    pub(super) struct Reader {
        opaque: [u8; 0],
    }

    unsafe extern "C" {
        pub(super) fn slm_chat_new(
            source: Str<'_>,
            bos: Str<'_>,
            eos: Str<'_>,
            error: *mut Text,
        ) -> *mut Chat;
        pub(super) fn slm_chat_free(chat: *mut Chat);
        pub(super) fn slm_chat_is_special(chat: *const Chat) -> bool;
        pub(super) fn slm_chat_apply(
            chat: *const Chat,
            request: Str<'_>,
            result: *mut Text,
            error: *mut Text,
        ) -> *mut Form;
        pub(super) fn slm_form_free(form: *mut Form);
        pub(super) fn slm_form_parser(form: *const Form, parser: *mut Text) -> bool;
        pub(super) fn slm_reader_new(form: *const Form, generation_prompt: Str<'_>) -> *mut Reader;
        pub(super) fn slm_reader_free(reader: *mut Reader);
        pub(super) fn slm_reader_skip(reader: *mut Reader, more: Str<'_>, place: c_int) -> bool;
        pub(super) fn slm_reader_read(
            reader: *mut Reader,
            more: Str<'_>,
            whole: bool,
            grown: *mut Text,
            error: *mut Text,
        ) -> bool;
        pub(super) fn slm_text_free(text: Text);
    }
}

/// A parsed chat template.
#[derive(Debug)]
pub(crate) struct Chat(NonNull<shim::Chat>);

impl Chat {
    /// Parses a Jinja template; `bos` and `eos` are what it may call `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// The parser's message.
    pub(crate) fn parse(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let mut error = ShimText::none();
        // SAFETY: The three texts live during the call, and the shim does not keep them; `error` may be written to.
        let chat =
            unsafe { shim::slm_chat_new(source.into(), bos.into(), eos.into(), &raw mut error.0) };
        NonNull::new(chat)
            .map(Self)
            .ok_or_else(|| error.into_message())
    }

    /// Whether llama.cpp has special code for this template.
    pub(crate) fn is_special(&self) -> bool {
        // SAFETY: `self` holds a live template.
        unsafe { shim::slm_chat_is_special(self.0.as_ptr()) }
    }

    /// Renders a conversation and derives the form of the answer. The request and the text that comes with the form are JSON
    /// as `shim/chat.h` describes it.
    ///
    /// # Errors
    /// What the template, its interpreter or the analysis of it says.
    pub(crate) fn apply(&self, request: &str) -> Result<(Form, String), String> {
        let (mut result, mut error) = (ShimText::none(), ShimText::none());
        // SAFETY: `self` holds a live template, the request lives during the call and is not kept, and both results may be written to.
        let form = unsafe {
            shim::slm_chat_apply(
                self.0.as_ptr(),
                request.into(),
                &raw mut result.0,
                &raw mut error.0,
            )
        };
        match NonNull::new(form) {
            Some(form) => Ok((Form(form), result.text())),
            None => Err(error.into_message()),
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // SAFETY: The pointer came from `slm_chat_new` and is freed once.
        unsafe { shim::slm_chat_free(self.0.as_ptr()) }
    }
}

/// The form that answers have in one conversation.
#[derive(Debug)]
pub(crate) struct Form(NonNull<shim::Form>);

// SAFETY: A form is not changed once it is made: what takes one takes it as const and copies what it keeps.
unsafe impl Send for Form {}
// SAFETY: As above.
unsafe impl Sync for Form {}

impl Form {
    /// Its parser in llama.cpp's own JSON; empty where there is none.
    pub(crate) fn parser(&self) -> String {
        let mut parser = ShimText::none();
        // SAFETY: `self` holds a live form, and the result may be written to. Without memory it stays empty.
        unsafe { shim::slm_form_parser(self.0.as_ptr(), &raw mut parser.0) };
        parser.text()
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        // SAFETY: The pointer came from `slm_chat_apply` and is freed once.
        unsafe { shim::slm_form_free(self.0.as_ptr()) }
    }
}

/// The part of a message that a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// To what is said.
    Content,
    /// To what is thought.
    Reasoning,
}

/// An answer as far as it came. It does not need its form any more.
#[derive(Debug)]
pub(crate) struct Reader(NonNull<shim::Reader>);

// SAFETY: A reader keeps nothing in its thread; what uses one takes it as `&mut`, or only reads.
unsafe impl Send for Reader {}

impl Reader {
    /// Begins where the prompt, which ends with `generation_prompt`, lets the model begin.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn new(form: &Form, generation_prompt: &str) -> Result<Self, String> {
        // SAFETY: `form` is alive, and neither it nor the text is kept.
        let reader = unsafe { shim::slm_reader_new(form.0.as_ptr(), generation_prompt.into()) };
        NonNull::new(reader)
            .map(Self)
            .ok_or_else(|| "there is no memory".into())
    }

    /// Adds text that belongs to a place; nothing is parsed.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn skip(&mut self, more: &str, place: Channel) -> Result<(), String> {
        let place = match place {
            Channel::Content => 1,
            Channel::Reasoning => 2,
        };
        // SAFETY: `self` holds a live reader, and the text is copied.
        if unsafe { shim::slm_reader_skip(self.0.as_ptr(), more.into(), place) } {
            Ok(())
        } else {
            Err("there is no memory".into())
        }
    }

    /// Adds text and says what grew, as JSON; see `shim/chat.h`.
    ///
    /// # Errors
    /// With `whole`, why the answer is not in its form.
    pub(crate) fn read(&mut self, more: &str, whole: bool) -> Result<String, String> {
        let (mut grown, mut error) = (ShimText::none(), ShimText::none());
        // SAFETY: `self` holds a live reader, the text is copied, and both results may be written to.
        let read = unsafe {
            shim::slm_reader_read(
                self.0.as_ptr(),
                more.into(),
                whole,
                &raw mut grown.0,
                &raw mut error.0,
            )
        };
        if read {
            Ok(grown.text())
        } else {
            Err(error.into_message())
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: The pointer came from `slm_reader_new` and is freed once.
        unsafe { shim::slm_reader_free(self.0.as_ptr()) }
    }
}

/// Text that the shim allocated, or none.
struct ShimText(shim::Text);

impl ShimText {
    fn none() -> Self {
        Self(shim::Text {
            data: std::ptr::null_mut(),
            size: 0,
        })
    }

    fn text(&self) -> String {
        if self.0.data.is_null() {
            return String::new();
        }
        // SAFETY: The shim says that `size` bytes at `data` are its text, and it stays until `drop`.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.data.cast::<u8>(), self.0.size) };
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn into_message(self) -> String {
        let text = self.text();
        if text.is_empty() {
            "no reason was given".into()
        } else {
            text
        }
    }
}

impl Drop for ShimText {
    fn drop(&mut self) {
        let text = shim::Text {
            data: self.0.data,
            size: self.0.size,
        };
        // SAFETY: `data` is null or came from the shim, and is freed once.
        unsafe { shim::slm_text_free(text) }
    }
}
