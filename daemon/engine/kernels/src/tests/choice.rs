//! The choice of products, and the measurement that it is made from.

use llama_cpp_sys_2 as sys;

use super::{Processor, Product};
use crate::{
    bandwidth, measure_products,
    products::{self, Way, Weights},
    select,
};

/// Weights are packed as chosen, and unpacked products are computed as chosen.
pub(super) fn check_choice() {
    let choose = |text: &str| select(&[text.parse().expect("a choice")]);
    let processor = Processor::new(1);
    choose("Q4_0=plain");
    choose("Q4_K=repack");
    assert!(!processor.packs(sys::GGML_TYPE_Q4_0));
    assert!(processor.packs(sys::GGML_TYPE_Q4_K));
    let product = Product {
        kind: sys::GGML_TYPE_F16,
        length: 256,
        rows: 32,
        columns: 1,
    };
    let reference = processor.multiply(&product, true);
    choose("F16=plain");
    assert!(processor.multiply(&product, false) == reference);
    choose("F16=ours/plain");
    assert!(processor.multiply(&product, false) != reference);
    choose("F16=plain/ours");
    assert!(processor.multiply(&product, false) == reference);
}

/// Each way that every module has is measured, for all types and batch sizes.
pub(super) fn check_measurement() {
    let times = measure_products();
    if times.is_empty() {
        println!("left out: this machine is too busy to measure");
        return;
    }
    for weights in Weights::ALL {
        for way in [Way::Plain, Way::Ours] {
            let columns = times
                .iter()
                .filter(|time| (time.weights, time.way) == (weights, way))
                .map(|time| time.columns);
            assert!(columns.eq([1, 4, 16, 64, 512]), "{weights:?} {way:?}");
        }
    }
    assert!(times.iter().any(|time| time.way == Way::Repack));
    assert_eq!(products::choose(&times, 0.0).len(), Weights::ALL.len());
    assert!(bandwidth(2) > Some(0.0));
}
