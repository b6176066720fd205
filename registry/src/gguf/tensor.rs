//! The descriptions of tensors, and where their data lies.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::error::harmless;
use super::input::Input;
use super::{Error, Problem, TensorType};

/// More tensors than any model has.
const MOST_TENSORS: u64 = 65_536;
/// `GGML_MAX_NAME` is 64 with the terminating zero byte.
const LONGEST_NAME: u64 = 63;
/// The least that one description takes: an empty name, one dimension, type and offset.
const LEAST_BYTES: u64 = 8 + 4 + 8 + 4 + 8;
const MOST_DIMS: u32 = 4;

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The name, unique in its file.
    pub name: String,
    /// One to four dimensions, none of them 0, the fastest first.
    pub dims: Vec<u64>,
    /// The type of its values.
    pub kind: TensorType,
    /// Where its data begins, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes its data takes.
    pub bytes: u64,
}

impl Tensor {
    /// The number of values.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }
}

/// Reads `count` descriptions; returns them, and where the data begins.
pub(super) fn read<F: Read + Seek>(
    input: &mut Input<'_, F>,
    count: u64,
    alignment: u64,
) -> Result<(Vec<Tensor>, u64), Error> {
    let least = count.saturating_mul(LEAST_BYTES);
    input.check_count("the tensor count", count, MOST_TENSORS, least, 8)?;
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for _ in 0..count {
        let tensor = describe(input, alignment)?;
        if !names.insert(tensor.name.clone()) {
            let tensor = harmless(tensor.name.as_bytes());
            return Err(Problem::DuplicateTensor { tensor }.at(input.position()));
        }
        tensors.push(tensor);
    }
    let data_offset = input.position().next_multiple_of(alignment);
    place(&mut tensors, data_offset, input.size())?;
    check_overlap(&tensors)?;
    Ok((tensors, data_offset))
}

/// Reads one description, whose `offset` is still relative to the data.
fn describe<F: Read + Seek>(input: &mut Input<'_, F>, alignment: u64) -> Result<Tensor, Error> {
    let name = input.name("a tensor's name", LONGEST_NAME)?;
    let shown = harmless(name.as_bytes());
    let tensor = || shown.clone();
    let dims = dims(input, &shown)?;
    let id = input.u32("a tensor's type")?;
    let at = input.position();
    let kind = TensorType::from_id(id).ok_or_else(|| {
        let found = id;
        Problem::TensorType {
            tensor: tensor(),
            found,
        }
        .at(at)
    })?;
    let elements =
        elements(&dims).ok_or_else(|| Problem::TooManyElements { tensor: tensor() }.at(at))?;
    let (row, block) = (dims[0], kind.block_values());
    if !row.is_multiple_of(block) {
        let tensor = tensor();
        return Err(Problem::BrokenRow {
            tensor,
            row,
            kind,
            block,
        }
        .at(at));
    }
    // The row is whole blocks, so all of it is; and a block never has more bytes than eight for each value.
    let bytes = elements / u128::from(block) * u128::from(kind.block_bytes());
    let bytes =
        u64::try_from(bytes).map_err(|_| Problem::TooManyElements { tensor: tensor() }.at(at))?;
    let offset = input.u64("a tensor's offset")?;
    if !offset.is_multiple_of(alignment) {
        let tensor = tensor();
        return Err(Problem::Misaligned {
            tensor,
            offset,
            alignment,
        }
        .at(input.position()));
    }
    Ok(Tensor {
        name,
        dims,
        kind,
        offset,
        bytes,
    })
}

fn dims<F: Read + Seek>(input: &mut Input<'_, F>, tensor: &str) -> Result<Vec<u64>, Error> {
    let found = input.u32("a tensor's number of dimensions")?;
    let tensor = || tensor.to_owned();
    if found == 0 || found > MOST_DIMS {
        return Err(Problem::Dimensions {
            tensor: tensor(),
            found,
        }
        .at(input.position()));
    }
    let mut dims = Vec::with_capacity(MOST_DIMS as usize);
    for _ in 0..found {
        let dim = input.u64("a tensor's dimension")?;
        if dim == 0 {
            return Err(Problem::ZeroDimension { tensor: tensor() }.at(input.position()));
        }
        dims.push(dim);
    }
    Ok(dims)
}

/// The number of values; `None` where it is more than ggml's signed counts can say.
fn elements(dims: &[u64]) -> Option<u128> {
    let product = dims
        .iter()
        .try_fold(1_u128, |product, dim| product.checked_mul((*dim).into()))?;
    (product <= i64::MAX as u128).then_some(product)
}

/// Makes offsets count from the start of the file, and sees that every tensor ends inside it.
fn place(tensors: &mut [Tensor], data_offset: u64, size: u64) -> Result<(), Error> {
    for tensor in tensors {
        let start = u128::from(data_offset) + u128::from(tensor.offset);
        let end = start + u128::from(tensor.bytes);
        if end > u128::from(size) {
            let tensor = harmless(tensor.name.as_bytes());
            return Err(Problem::Outside { tensor, end, size }.at(data_offset));
        }
        tensor.offset += data_offset;
    }
    Ok(())
}

fn check_overlap(tensors: &[Tensor]) -> Result<(), Error> {
    let mut placed: Vec<&Tensor> = tensors.iter().collect();
    placed.sort_by_key(|tensor| tensor.offset);
    for pair in placed.windows(2) {
        let [first, second] = pair else { continue };
        if second.offset < first.offset + first.bytes {
            return Err(Problem::Overlap {
                first: harmless(first.name.as_bytes()),
                second: harmless(second.name.as_bytes()),
            }
            .at(second.offset));
        }
    }
    Ok(())
}
