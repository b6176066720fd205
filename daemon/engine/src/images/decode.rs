//! From the bytes of an image file to its pixels.
//!
//! A file is hostile. Before anything of it is unpacked its size in pixels is read from its header, and what a small file
//! may unpack to is bounded in sides, pixels and memory. The decoders are Rust; the native code of the model gets pixels only.

use std::{
    io::Cursor,
    panic::{self, AssertUnwindSafe},
};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
    error::LimitErrorKind, imageops,
};

use crate::{error::Error, ffi::vision::Pixels};

/// Longest side in pixels.
const MAX_SIDE: u32 = 16_384;

/// Most pixels: more than the cameras of telephones make.
const MAX_PIXELS: u64 = 64 << 20;

/// Most bytes that a decoder may take, its result included.
const MAX_DECODER_BYTES: u64 = 512 << 20;

/// How many times as long as wide an image may be: models scale images down, and nothing is left of longer ones.
const MAX_ASPECT: u32 = 64;

/// Shorter sides are enlarged to this, because preprocessors of models were not made for less.
const MIN_SIDE: u32 = 32;

/// The formats that are read, as they are named to people.
const FORMATS: &str = "PNG, JPEG, WebP, GIF or BMP";

/// Decodes a file: of an animation the first picture, turned as its camera says, on white where it is transparent.
/// Each side of it has at least [`MIN_SIDE`] pixels.
///
/// # Errors
/// [`Error::Invalid`] says of which image, by its number, what is wrong with it and what would be right.
pub(crate) fn decode(number: u32, file: &[u8]) -> Result<Pixels, Error> {
    // A decoder that panics has met a file that is not good, whatever else it may say about the decoder.
    let decoded = panic::catch_unwind(AssertUnwindSafe(|| pixels(file)));
    decoded
        .unwrap_or_else(|_| Err("it is damaged".into()))
        .map_err(|reason| Error::Invalid(format!("image {number} cannot be used: {reason}")))
}

fn pixels(file: &[u8]) -> Result<Pixels, String> {
    if file.is_empty() {
        return Err("it is empty".into());
    }
    let format = image::guess_format(file).ok().filter(|format| {
        use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
        matches!(format, Bmp | Gif | Jpeg | Png | WebP)
    });
    let format = format.ok_or_else(|| {
        format!("it is not in a format that is read here; convert it to {FORMATS}")
    })?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| reason(&error))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    if decoder.total_bytes() > MAX_DECODER_BYTES {
        return Err(reason_of_memory());
    }
    // A turn that cannot be read is none.
    let turn = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| reason(&error))?;
    if let Some(turn) = turn {
        picture.apply_orientation(turn);
    }
    let picture = enlarged(opaque(picture));
    Ok(Pixels {
        width: picture.width(),
        height: picture.height(),
        rgb: picture.into_raw(),
    })
}

fn check_size(width: u32, height: u32) -> Result<(), String> {
    let size = format!("it has {width} × {height} pixels");
    let (shorter, longer) = (width.min(height), width.max(height));
    if shorter == 0 {
        return Err(size);
    }
    if longer > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!(
            "{size}, and a side may have {MAX_SIDE} and the whole {} million; make it smaller",
            MAX_PIXELS / 1_000_000
        ));
    }
    if longer / shorter > MAX_ASPECT {
        return Err(format!(
            "{size}, and the longer side may be {MAX_ASPECT} times the shorter; cut it into pieces"
        ));
    }
    Ok(())
}

/// An image without transparency: what shows through is white.
fn opaque(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    let on_white = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        // At most 255 * 255 before the division.
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let mut rgb = Vec::with_capacity(picture.len() / 4 * 3);
    for pixel in picture.pixels() {
        let [red, green, blue, alpha] = pixel.0;
        rgb.extend([red, green, blue].map(|value| on_white(value, alpha)));
    }
    RgbImage::from_raw(picture.width(), picture.height(), rgb).expect("three bytes for each pixel")
}

/// An image of which no side is too short; each pixel becomes a square of pixels.
fn enlarged(picture: RgbImage) -> RgbImage {
    let shorter = picture.width().min(picture.height());
    let factor = MIN_SIDE.div_ceil(shorter);
    if factor == 1 {
        return picture;
    }
    let (width, height) = (picture.width() * factor, picture.height() * factor);
    imageops::resize(&picture, width, height, imageops::FilterType::Nearest)
}

/// What a decoder says, in our words; theirs may quote the file.
fn reason(error: &ImageError) -> String {
    match error {
        ImageError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::InsufficientMemory) => {
            reason_of_memory()
        }
        ImageError::Limits(_) => format!("a side has more than {MAX_SIDE} pixels; make it smaller"),
        ImageError::Unsupported(_) => {
            format!(
                "it uses a part of its format that is not read here; save it again as {FORMATS}"
            )
        }
        _ => "it is damaged, or not whole".into(),
    }
}

fn reason_of_memory() -> String {
    format!(
        "unpacked it would take more than {} MiB; make it smaller, or save it with 8 bits for each color",
        MAX_DECODER_BYTES >> 20
    )
}

#[cfg(test)]
mod tests;
