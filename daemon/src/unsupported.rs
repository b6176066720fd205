//! Fields of a create request that slm does not support yet. They are refused by name instead of silently ignored.

use api::{CreateRequest, Message};

use crate::error::Error;

const QUANTIZE: &str = "quantize of anything but a folder of safetensors";

/// Checks a create request.
///
/// # Errors
/// [`Error::Unsupported`] names the field.
pub fn in_create(request: &CreateRequest) -> Result<(), Error> {
    // Only a conversion of safetensors has a target format.
    if !is_folder(request) {
        text(QUANTIZE, request.quantize.as_deref())?;
    }
    text("draft_quantize", request.draft_quantize.as_deref())?;
    text("remote_host", request.remote_host.as_deref())?;
    if request.info.as_ref().is_some_and(|info| !info.is_empty()) {
        return Err(refused("info"));
    }
    for kept in request.messages.iter().flatten() {
        message(kept)?;
        // The messages of a model have only a role and a text.
        text("thinking", kept.thinking.as_deref())?;
    }
    Ok(())
}

/// Whether the files of a recipe are a folder of safetensors, which is converted.
pub fn is_folder(request: &CreateRequest) -> bool {
    let mut names = request.files.iter().flatten().map(|(name, _)| name);
    names.any(|name| registry::convert::is_weights(name))
}

fn text(field: &str, value: Option<&str>) -> Result<(), Error> {
    match value {
        None | Some("") => Ok(()),
        Some(_) => Err(refused(field)),
    }
}

fn message(message: &Message) -> Result<(), Error> {
    list("images", message.images.as_deref())?;
    list("tool_calls", message.tool_calls.as_deref())?;
    if message.role.eq_ignore_ascii_case("tool") {
        return Err(refused("role \"tool\""));
    }
    Ok(())
}

fn list<T>(field: &str, values: Option<&[T]>) -> Result<(), Error> {
    match values {
        None | Some([]) => Ok(()),
        Some(_) => Err(refused(field)),
    }
}

fn refused(field: &str) -> Error {
    // The field can be a text of the client, so it is cut.
    Error::Unsupported(field.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_unsupported_field_is_refused_by_name() {
        let said = |field: &str, value: Value| {
            let mut message = json!({"role": "user", "content": "hi"});
            message[field] = value;
            json!({"messages": [message]})
        };
        for (request, name) in [
            (json!({"quantize": "q4_0"}), QUANTIZE),
            (json!({"draft_quantize": "q4_0"}), "draft_quantize"),
            (json!({"remote_host": "example.org"}), "remote_host"),
            (json!({"info": {"a": 1}}), "info"),
            (said("images", json!(["aGk="])), "images"),
            (
                said("tool_calls", json!([{"function": {"name": "f"}}])),
                "tool_calls",
            ),
            (said("thinking", json!("hm")), "thinking"),
        ] {
            let request = serde_json::from_value(request).unwrap();
            assert_eq!(
                in_create(&request).unwrap_err().to_string(),
                format!("{name} is not supported yet")
            );
        }
        let nothing = json!({
            "quantize": "", "draft_quantize": null, "remote_host": "", "info": {},
            "messages": [{"role": "user", "content": "hi", "thinking": "", "images": []}],
        });
        assert!(in_create(&serde_json::from_value(nothing).unwrap()).is_ok());
    }
}
