//! What the fuzzer does with bytes, and a test with the files that we have.

use std::io::Cursor;

use registry::gguf::{self, Keep};

/// Reads any bytes in every way; none may panic, and what is kept may decide nothing.
pub(crate) fn read_anything(bytes: &[u8]) {
    let size = bytes.len() as u64;
    let small = gguf::read(&mut Cursor::new(bytes), size);
    let everything = gguf::read_keeping(&mut Cursor::new(bytes), size, Keep::Everything);
    match (small, everything) {
        (Ok(small), Ok(everything)) => {
            assert_eq!(small.facts(), everything.facts());
            assert_eq!(small.tensors, everything.tensors);
            for verbose in [false, true] {
                assert_eq!(
                    small.model_info(verbose).len(),
                    everything.model_info(verbose).len()
                );
            }
            for tensor in &small.tensors {
                assert!(tensor.offset + tensor.bytes <= size);
            }
        }
        (Err(small), Err(everything)) => assert_eq!(small.to_string(), everything.to_string()),
        (small, everything) => panic!("{small:?} but {everything:?}"),
    }
}
