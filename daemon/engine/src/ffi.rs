//! Everything that the compiler cannot check: calls into our C++ shim, and the few calls into llama.cpp that `llama-cpp-2` has no safe function for.
#![expect(
    unsafe_code,
    reason = "this is the one module of the project that talks to native code itself"
)]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    marker::PhantomData,
    ptr::NonNull,
};

pub(crate) mod context;

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

    /// `struct slm_message`.
    #[repr(C)]
    pub(super) struct Message<'a> {
        pub(super) role: Str<'a>,
        pub(super) content: Str<'a>,
    }

    /// `struct slm_chat`, never looked into.
    #[repr(C)]
    pub(super) struct Chat {
        opaque: [u8; 0],
    }

    unsafe extern "C" {
        pub(super) fn slm_prepare_process();
        pub(super) fn slm_leave(code: c_int) -> !;
        pub(super) fn slm_chat_new(
            source: Str<'_>,
            bos: Str<'_>,
            eos: Str<'_>,
            error: *mut Text,
        ) -> *mut Chat;
        pub(super) fn slm_chat_free(chat: *mut Chat);
        pub(super) fn slm_chat_render(
            chat: *const Chat,
            messages: *const Message<'_>,
            n_messages: usize,
            add_generation_prompt: bool,
            thinking: bool,
            prompt: *mut Text,
            error: *mut Text,
        ) -> bool;
        pub(super) fn slm_text_free(text: Text);
    }
}

/// Settings that hold for the whole process. Call it before any other thread runs.
pub(crate) fn prepare_process() {
    // SAFETY: The function sets an environment variable and an integer; the caller has started no thread that could read them.
    unsafe { shim::slm_prepare_process() }
}

/// Ends the process at once: the engine thread may be deep inside llama.cpp, whose global objects must not be destroyed under it.
pub(crate) fn leave(code: u8) -> ! {
    // SAFETY: The function takes any number and does not return.
    unsafe { shim::slm_leave(c_int::from(code)) }
}

/// A chat template that llama.cpp's `common` library parsed.
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

    /// Renders messages, each a role and a text.
    ///
    /// # Errors
    /// What the template or the interpreter says.
    pub(crate) fn render(
        &self,
        messages: &[(&str, &str)],
        add_generation_prompt: bool,
        thinking: bool,
    ) -> Result<String, String> {
        let messages: Vec<shim::Message<'_>> = messages
            .iter()
            .map(|&(role, content)| shim::Message {
                role: role.into(),
                content: content.into(),
            })
            .collect();
        let (mut prompt, mut error) = (ShimText::none(), ShimText::none());
        // SAFETY: `self` holds a live template, the messages live during the call and are not kept, and both results may be written to.
        let rendered = unsafe {
            shim::slm_chat_render(
                self.0.as_ptr(),
                messages.as_ptr(),
                messages.len(),
                add_generation_prompt,
                thinking,
                &raw mut prompt.0,
                &raw mut error.0,
            )
        };
        if rendered {
            Ok(prompt.text())
        } else {
            Err(error.into_message())
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // SAFETY: The pointer came from `slm_chat_new` and is freed once.
        unsafe { shim::slm_chat_free(self.0.as_ptr()) }
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

/// Sends the log of llama.cpp and of its backends to [`crate::log::native_line`].
pub(crate) fn redirect_log() {
    // SAFETY: The callback is a function without state that may be called from any thread; no user data is passed.
    unsafe {
        llama_cpp_sys_2::llama_log_set(Some(on_log), std::ptr::null_mut());
        llama_cpp_sys_2::ggml_log_set(Some(on_log), std::ptr::null_mut());
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
    crate::log::native_line(level, &text.to_string_lossy());
}

/// Version of llama.cpp, such as `0.6.0`.
pub(crate) fn llama_version() -> String {
    // SAFETY: The function returns a constant of the library.
    unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_version()) }
        .to_string_lossy()
        .into_owned()
}
