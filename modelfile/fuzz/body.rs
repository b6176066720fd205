//! What must hold for any bytes at all. The fuzz target and an ordinary test both run this.

use modelfile::{Severity, parse, parse_bytes};

/// Parses `bytes` and checks what is promised about the outcome.
pub(crate) fn parse_anything(bytes: &[u8]) {
    match parse_bytes(bytes) {
        Ok(parsed) => {
            assert!(
                parsed
                    .warnings
                    .iter()
                    .all(|finding| finding.severity == Severity::Warning)
            );
            fits_a_terminal(&parsed.warnings.to_string());
            let printed = parsed.modelfile.to_string();
            // Quoting can make a text a little longer than the longest that is accepted.
            if printed.len() <= modelfile::MAX_BYTES {
                let again = parse(&printed).expect("what was printed can be read");
                assert_eq!(again.modelfile, parsed.modelfile);
                assert_eq!(again.modelfile.to_string(), printed);
            }
        }
        Err(findings) => {
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.severity == Severity::Error)
            );
            assert!(
                findings
                    .iter()
                    .all(|finding| finding.line > 0 && finding.column > 0)
            );
            fits_a_terminal(&findings.to_string());
        }
    }
}

fn fits_a_terminal(text: &str) {
    assert!(
        !text
            .chars()
            .any(|character| character.is_control() && character != '\n'),
        "{text:?}"
    );
}
