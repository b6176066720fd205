//! Tools of a request: functions, and namespaces of functions. slm runs no tools, so tools of other types are skipped.

use std::collections::HashMap;

use runner_protocol::{self as protocol, ToolChoice};
use serde_json::Value;

use crate::error::Error;
use crate::tools::{self, Function, Offered, quoted, word_choice};

/// The tools that the model may call.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// The functions.
    pub(super) offered: Vec<protocol::Tool>,
    /// The tools that are not offered, in order.
    pub(super) skipped: Vec<Skipped>,
    /// Namespace and name of the functions in namespaces, by the name that the model sees.
    pub(super) names: Names,
}

/// A tool that is not offered to the model.
#[derive(Debug)]
pub(super) struct Skipped {
    /// Index of the tool, and of the function in its namespace.
    place: (usize, Option<usize>),
    /// The reason, for people.
    pub(super) why: String,
}

impl Skipped {
    /// Its place in the request, such as `tools[2]`.
    pub(super) fn field(&self, list: &str) -> String {
        match self.place {
            (tool, None) => format!("{list}[{tool}]"),
            (tool, Some(function)) => format!("{list}[{tool}].tools[{function}]"),
        }
    }
}

/// The names of functions in namespaces.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(HashMap<String, (String, String)>);

impl Names {
    /// Namespace and name of the function that the model calls by this name.
    pub(super) fn apart(&self, name: &str) -> (Option<String>, String) {
        match self.0.get(name) {
            Some((namespace, name)) => (Some(namespace.clone()), name.clone()),
            None => (None, name.to_owned()),
        }
    }
}

/// The name of a function in a namespace, as the model sees it.
pub(super) fn joined(namespace: Option<&str>, name: &str) -> String {
    match namespace.filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => format!("{}__{name}", namespace.trim_end_matches('_')),
        None => name.to_owned(),
    }
}

impl Tools {
    /// Reads the tools of a request.
    ///
    /// # Errors
    /// [`Error::Field`] when all functions are invalid.
    pub(super) fn read(given: &[Value]) -> Result<Self, Error> {
        let mut read = Self::default();
        let mut functions = Vec::new();
        let mut places = Vec::new();
        for (index, tool) in given.iter().enumerate() {
            match tool["type"].as_str().unwrap_or("function") {
                "function" => {
                    places.push((index, None));
                    functions.push((label(tool, index), function(tool, None)));
                }
                "namespace" => {
                    let namespace = tool["name"].as_str().unwrap_or_default();
                    let members = tool["tools"].as_array().map_or(&[][..], Vec::as_slice);
                    for (member_index, member) in members.iter().enumerate() {
                        let place = (index, Some(member_index));
                        if !matches!(member["type"].as_str(), None | Some("function")) {
                            read.skip(member, place);
                            continue;
                        }
                        let name = inner(member)["name"].as_str().unwrap_or_default();
                        let own = (namespace.to_owned(), name.to_owned());
                        read.names.0.insert(joined(Some(namespace), name), own);
                        places.push(place);
                        functions.push((quoted(name), function(member, Some(namespace))));
                    }
                }
                _ => read.skip(tool, (index, None)),
            }
        }
        let Offered { tools, left_out } =
            tools::offered(functions).map_err(|error| Error::field("tools", error.to_string()))?;
        read.offered = tools;
        read.skipped
            .extend(left_out.into_iter().map(|tool| Skipped {
                place: places[tool.place],
                why: tool.why,
            }));
        read.skipped.sort_by_key(|skipped| skipped.place);
        Ok(read)
    }

    fn skip(&mut self, tool: &Value, place: (usize, Option<usize>)) {
        let kind = quoted(tool["type"].as_str().unwrap_or_default());
        let mut skipped = Skipped {
            place,
            why: String::new(),
        };
        skipped.why = format!(
            "{}: a tool of type {kind} is not offered to the model, because slm does not run it",
            skipped.field("tools")
        );
        self.skipped.push(skipped);
    }

    /// Reads the tool choice, and leaves only the allowed tools.
    ///
    /// # Errors
    /// [`Error::Field`] for an unknown value, and for a tool that is not among the tools.
    pub(super) fn choose(&mut self, choice: Option<&Value>) -> Result<ToolChoice, Error> {
        let wrong = |reason: String| Error::field("tool_choice", reason);
        let choice = match choice {
            None | Some(Value::Null) => return Ok(ToolChoice::Auto),
            Some(Value::String(word)) => word_choice(word),
            Some(object) => match object["type"].as_str() {
                Some("function") => function_name(object).map(ToolChoice::One),
                Some("allowed_tools") => {
                    self.allow(object)?;
                    // Chat completions have one more level.
                    let modes = [&object["mode"], &object["allowed_tools"]["mode"]];
                    let mode = modes.into_iter().find_map(Value::as_str);
                    word_choice(mode.unwrap_or("auto"))
                }
                _ => None,
            },
        };
        match choice {
            Some(choice @ (ToolChoice::Auto | ToolChoice::None)) => Ok(choice),
            Some(choice) => {
                tools::chosen(choice, &self.offered).map_err(|error| wrong(error.to_string()))
            }
            None => Err(wrong(
                "must be \"auto\", \"none\", \"required\", a function or allowed_tools; tools that slm does not run cannot be chosen"
                    .into(),
            )),
        }
    }

    /// Leaves only the tools that the choice allows.
    fn allow(&mut self, choice: &Value) -> Result<(), Error> {
        // Chat completions have one more level.
        let list = [&choice["tools"], &choice["allowed_tools"]["tools"]];
        let list = list.into_iter().find_map(Value::as_array);
        let list =
            list.ok_or_else(|| Error::field("tool_choice.tools", "must be a list of tools"))?;
        let allowed: Vec<String> = list.iter().filter_map(function_name).collect();
        let is_offered = |name: &String| self.offered.iter().any(|tool| tool.name == *name);
        if let Some(name) = allowed.iter().find(|name| !is_offered(name)) {
            let reason = format!("names {}, which is not among the tools", quoted(name));
            return Err(Error::field("tool_choice", reason));
        }
        self.offered.retain(|tool| allowed.contains(&tool.name));
        Ok(())
    }
}

/// The name of a function in a choice, which some clients write one level deeper.
fn function_name(choice: &Value) -> Option<String> {
    let text = |name: &str| choice[name].as_str().or(choice["function"][name].as_str());
    Some(joined(text("namespace"), text("name")?))
}

fn label(tool: &Value, index: usize) -> String {
    let name = inner(tool)["name"].as_str().map(quoted);
    name.unwrap_or_else(|| format!("number {}", index + 1))
}

/// The description of the function, which some clients write one level deeper.
fn inner(tool: &Value) -> &Value {
    match &tool["function"] {
        function @ Value::Object(_) => function,
        _ => tool,
    }
}

fn function(tool: &Value, namespace: Option<&str>) -> Result<Function, String> {
    let tool = inner(tool);
    let name = tool["name"].as_str().ok_or("it has no name")?;
    Ok(Function {
        name: joined(namespace, name),
        description: tool["description"].as_str().unwrap_or_default().to_owned(),
        parameters: tool["parameters"].clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(tools: Value) -> Tools {
        Tools::read(tools.as_array().unwrap()).unwrap()
    }

    #[test]
    fn a_function_of_a_namespace_has_both_names() {
        let tools = read(json!([
            {"type": "namespace", "name": "mcp__files__", "tools": [{"type": "function", "name": "read"}, {"type": "custom", "name": "x"}]},
            {"type": "web_search"},
            {"type": "function", "name": "f"},
        ]));
        let names: Vec<&str> = tools
            .offered
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        assert_eq!(names, ["mcp__files__read", "f"]);
        let apart = tools.names.apart("mcp__files__read");
        assert_eq!(apart, (Some("mcp__files__".into()), "read".into()));
        let skipped: Vec<String> = tools.skipped.iter().map(|it| it.field("tools")).collect();
        assert_eq!(skipped, ["tools[0].tools[1]", "tools[1]"]);
        let why = &tools.skipped[1].why;
        assert!(
            why.contains("tools[1]") && why.contains("web_search"),
            "{why}"
        );
    }

    #[test]
    fn each_form_of_a_choice_is_read() {
        let choose = |choice: Value| {
            let mut tools =
                read(json!([{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]));
            let choice = tools.choose(Some(&choice));
            choice.map(|choice| (choice, tools.offered.len()))
        };
        let one = ToolChoice::One("f".into());
        assert_eq!(choose(json!("none")).unwrap(), (ToolChoice::None, 2));
        assert_eq!(
            choose(json!("required")).unwrap(),
            (ToolChoice::Required, 2)
        );
        assert_eq!(
            choose(json!({"type": "function", "name": "f"})).unwrap(),
            (one.clone(), 2)
        );
        let nested = json!({"type": "function", "function": {"name": "f"}});
        assert_eq!(choose(nested).unwrap(), (one, 2));
        let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]});
        assert_eq!(choose(allowed).unwrap(), (ToolChoice::Required, 1));
        for wrong in [
            json!({"type": "function", "name": "h"}),
            json!({"type": "web_search"}),
            json!("always"),
            json!({"type": "allowed_tools", "tools": [{"type": "function", "name": "h"}]}),
        ] {
            assert_eq!(choose(wrong).unwrap_err().param(), Some("tool_choice"));
        }
    }
}
