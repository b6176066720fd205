//! Values for a schema of the OpenAPI document, right ones and wrong ones.

use super::*;

/// A field of a request, in a body that is right but for this field.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) body: Value,
    /// Where the field stands in the body.
    pub(super) pointer: String,
    pub(super) schema: Value,
    pub(super) is_required: bool,
}

impl Field {
    /// The body with this value in the field.
    pub(super) fn with(&self, value: &Value) -> Value {
        let mut body = self.body.clone();
        let (parent, name) = self.pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value.clone();
        body
    }
}

/// The schemas of the document, by name.
pub(super) struct Schemas(pub(super) Value);

impl Schemas {
    /// The forms of a schema: what its references and choices lead to.
    pub(super) fn forms<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            return self.forms(self.0.pointer(pointer).unwrap());
        }
        let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
        match choices {
            Some(choices) => choices
                .iter()
                .flat_map(|choice| self.forms(choice))
                .collect(),
            None => vec![schema],
        }
    }

    /// Whether the type of a value is right.
    pub(super) fn admits(&self, schema: &Value, value: &Value) -> bool {
        self.forms(schema).into_iter().any(|form| {
            let words = form["enum"].as_array();
            types(form).is_none_or(|types| types.iter().any(|kind| is_of(value, kind)))
                && words.is_none_or(|words| words.contains(value))
        })
    }

    /// A small value that is right.
    pub(super) fn sample(&self, schema: &Value) -> Value {
        let forms = self.forms(schema);
        let kind = |form: &Value| types(form).and_then(|types| types.first().cloned());
        let form = forms
            .into_iter()
            .find(|form| kind(form).as_deref() != Some("null"))
            .unwrap();
        if let Some(word) = form["enum"].get(0) {
            return word.clone();
        }
        match kind(form).as_deref() {
            Some("string") => json!("user"),
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(false),
            Some("array") => json!([]),
            Some("object") => self.object(form),
            _ => json!("user"),
        }
    }

    /// An object with its required fields.
    fn object(&self, form: &Value) -> Value {
        let required = form["required"].as_array().into_iter().flatten();
        let fields = required.map(|name| {
            let name = name.as_str().unwrap();
            (name.to_owned(), self.sample(&form["properties"][name]))
        });
        Value::Object(fields.collect())
    }

    /// All fields of a body with this schema, also those of objects in it. The fields that `given` has keep their values.
    pub(super) fn fields(&self, schema: &Value, given: &Value) -> Vec<Field> {
        let mut found = Vec::new();
        for form in self.forms(schema) {
            let mut body = self.object(form);
            for (name, value) in given.as_object().unwrap() {
                if form["properties"].get(name).is_some() {
                    body[name] = value.clone();
                }
            }
            self.collect(form, &body, "", 0, &mut found);
        }
        found
    }

    fn collect(&self, form: &Value, body: &Value, at: &str, depth: usize, found: &mut Vec<Field>) {
        for (name, schema) in form["properties"].as_object().into_iter().flatten() {
            let pointer = format!("{at}/{name}");
            let required = form["required"].as_array().into_iter().flatten();
            let field = Field {
                body: body.clone(),
                pointer: pointer.clone(),
                schema: schema.clone(),
                is_required: required.into_iter().any(|it| it == name),
            };
            if depth < 3 {
                for inner in self.forms(schema) {
                    if inner["properties"].is_object() {
                        let body = field.with(&self.object(inner));
                        self.collect(inner, &body, &pointer, depth + 1, found);
                    }
                    for item in self.items(inner) {
                        let body = field.with(&json!([self.object(item)]));
                        self.collect(item, &body, &format!("{pointer}/0"), depth + 1, found);
                    }
                }
            }
            found.push(field);
        }
    }

    /// The objects in a list.
    fn items<'a>(&'a self, form: &'a Value) -> Vec<&'a Value> {
        let items = form.get("items").map(|items| self.forms(items));
        let mut items = items.unwrap_or_default();
        items.retain(|item| item["properties"].is_object());
        items
    }
}

/// The types of a schema; `None` where any is right.
fn types(form: &Value) -> Option<Vec<String>> {
    match &form["type"] {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(several) => Some(
            several
                .iter()
                .map(|it| it.as_str().unwrap().to_owned())
                .collect(),
        ),
        _ if form["allOf"].is_array() => Some(vec!["object".to_owned()]),
        _ => None,
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not a type of JSON"),
    }
}
