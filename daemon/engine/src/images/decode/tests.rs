use image::{
    Delay, ExtendedColorType, Frame, ImageEncoder, Rgba, RgbaImage,
    codecs::{bmp, gif, jpeg, png, webp},
};

use super::*;

/// A file of so many pixels in this format: red on the left, blue on the right.
fn file(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, _| match x * 2 < width {
        true => image::Rgb([200, 0, 0]),
        false => image::Rgb([0, 0, 200]),
    });
    let mut file = Vec::new();
    let rgb = ExtendedColorType::Rgb8;
    match format {
        ImageFormat::Png => {
            png::PngEncoder::new(&mut file).write_image(&picture, width, height, rgb)
        }
        ImageFormat::Jpeg => {
            jpeg::JpegEncoder::new(&mut file).write_image(&picture, width, height, rgb)
        }
        ImageFormat::WebP => {
            webp::WebPEncoder::new_lossless(&mut file).write_image(&picture, width, height, rgb)
        }
        ImageFormat::Bmp => {
            bmp::BmpEncoder::new(&mut file).write_image(&picture, width, height, rgb)
        }
        ImageFormat::Gif => gif::GifEncoder::new(&mut file).encode(&picture, width, height, rgb),
        other => panic!("{other:?}"),
    }
    .unwrap();
    file
}

fn refused(file: &[u8]) -> String {
    match decode(3, file) {
        Err(Error::Invalid(message)) => {
            let reason = message.strip_prefix("image 3 cannot be used: ");
            reason.unwrap_or_else(|| panic!("{message}")).to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// About the color of a pixel.
fn color(pixels: &Pixels, x: u32, y: u32) -> [i32; 3] {
    let at = (y * pixels.width + x) as usize * 3;
    [0, 1, 2].map(|channel| i32::from(pixels.rgb[at + channel]))
}

fn is_near(found: [i32; 3], expected: [i32; 3]) -> bool {
    found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 30)
}

/// A PNG of which only the header says how large it is.
fn header_of_png(width: u32, height: u32) -> Vec<u8> {
    let mut good = file(ImageFormat::Png, 1, 1);
    good[16..20].copy_from_slice(&width.to_be_bytes());
    good[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc(&good[12..29]);
    good[29..33].copy_from_slice(&crc.to_be_bytes());
    good
}

/// The checksum of a PNG's chunk: CRC-32 as in its specification, annex D.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn every_format_is_read() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    for format in [Png, Jpeg, WebP, Gif, Bmp] {
        let pixels = decode(1, &file(format, 64, 40)).unwrap();
        assert_eq!((pixels.width, pixels.height), (64, 40), "{format:?}");
        assert_eq!(pixels.rgb.len(), 64 * 40 * 3);
        assert!(is_near(color(&pixels, 4, 4), [200, 0, 0]), "{format:?}");
        assert!(is_near(color(&pixels, 60, 36), [0, 0, 200]), "{format:?}");
    }
}

#[test]
fn the_smallest_image_is_enlarged() {
    let pixels = decode(1, &file(ImageFormat::Png, 1, 1)).unwrap();
    assert_eq!((pixels.width, pixels.height), (32, 32));
    let pixels = decode(1, &file(ImageFormat::Png, 640, 10)).unwrap();
    assert_eq!((pixels.width, pixels.height), (2560, 40));
}

#[test]
fn sizes_are_bounded_before_anything_is_unpacked() {
    for (width, height, expected) in [
        (100_000, 1, "100000 × 1 pixels, and a side may have 16384"),
        (1, 100_000, "1 × 100000"),
        (16_000, 16_000, "67 million"),
        (6400, 90, "64 times the shorter"),
        (0x7fff_ffff, 0x7fff_ffff, ""),
    ] {
        let error = refused(&header_of_png(width, height));
        assert!(error.contains(expected), "{width} × {height}: {error}");
    }
}

#[test]
fn what_is_no_image_is_refused() {
    assert_eq!(refused(b""), "it is empty");
    for file in [
        b"hello".as_slice(),
        b"%PDF-1.7",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"II*\0\x08\0\0\0",
        b"\0\0\0\x20ftypheic",
        &[0; 100],
    ] {
        let error = refused(file);
        assert!(error.contains("convert it to PNG, JPEG"), "{error}");
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    use ImageFormat::{Bmp, Gif, Png, WebP};
    for format in [Png, WebP, Gif, Bmp] {
        let file = file(format, 64, 64);
        for part in [file.len() / 2, 30, 12] {
            let error = refused(&file[..part]);
            assert!(!error.is_empty(), "{format:?} {part}");
        }
    }
    let jpeg = file(ImageFormat::Jpeg, 64, 64);
    assert!(!refused(&jpeg[..100]).is_empty());
}

/// Whatever single byte is wrong, there is an answer; a decoder that panics is one.
#[test]
fn damage_never_escapes() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    for format in [Png, Jpeg, WebP, Gif, Bmp] {
        let good = file(format, 24, 24);
        for at in 0..good.len().min(700) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            if let Ok(pixels) = decode(1, &bad) {
                let bytes = pixels.width as usize * pixels.height as usize * 3;
                assert_eq!(pixels.rgb.len(), bytes, "{format:?} {at}");
            }
        }
    }
}

#[test]
fn transparency_shows_white() {
    let clear = RgbaImage::from_pixel(40, 40, Rgba([0, 0, 0, 0]));
    let mut file = Vec::new();
    png::PngEncoder::new(&mut file)
        .write_image(&clear, 40, 40, ExtendedColorType::Rgba8)
        .unwrap();
    assert_eq!(color(&decode(1, &file).unwrap(), 5, 5), [255; 3]);
    let half = RgbaImage::from_pixel(40, 40, Rgba([0, 0, 0, 128]));
    let mut file = Vec::new();
    png::PngEncoder::new(&mut file)
        .write_image(&half, 40, 40, ExtendedColorType::Rgba8)
        .unwrap();
    assert_eq!(color(&decode(1, &file).unwrap(), 5, 5), [127; 3]);
}

#[test]
fn sixteen_bits_and_gray_are_read() {
    let mut file = Vec::new();
    let gray: Vec<u8> = [0x80, 0x10].repeat(40 * 40);
    png::PngEncoder::new(&mut file)
        .write_image(&gray, 40, 40, ExtendedColorType::L16)
        .unwrap();
    let pixels = decode(1, &file).unwrap();
    let [red, green, blue] = color(&pixels, 0, 0);
    assert!(red == green && green == blue && red > 0, "{red}");
}

#[test]
fn of_an_animation_the_first_picture_is_seen() {
    let picture = |color| RgbaImage::from_pixel(40, 40, Rgba(color));
    let mut file = Vec::new();
    let mut encoder = gif::GifEncoder::new(&mut file);
    for color in [[200, 0, 0, 255], [0, 0, 200, 255]] {
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder
            .encode_frame(Frame::from_parts(picture(color), 0, 0, delay))
            .unwrap();
    }
    drop(encoder);
    assert!(is_near(
        color(&decode(1, &file).unwrap(), 5, 5),
        [200, 0, 0]
    ));
}

#[test]
fn an_image_is_turned_as_its_camera_says() {
    // Orientation 6 in EXIF: the top is at the right.
    let exif = [
        b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01".as_slice(),
        b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ]
    .concat();
    let length = u16::try_from(exif.len() + 2).unwrap();
    let jpeg = file(ImageFormat::Jpeg, 64, 40);
    let (start, rest) = jpeg.split_at(2);
    let turned = [start, &[0xff, 0xe1], &length.to_be_bytes(), &exif, rest].concat();
    let pixels = decode(1, &turned).unwrap();
    assert_eq!((pixels.width, pixels.height), (40, 64));
    assert!(is_near(color(&pixels, 20, 4), [200, 0, 0]));
    assert!(is_near(color(&pixels, 20, 60), [0, 0, 200]));
}
