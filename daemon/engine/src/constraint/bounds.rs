//! Adds missing bounds to a JSON Schema, and rewrites bounds that the compiler does not keep exactly.
//!
//! Without bounds, a model could write digits, or members of an unconstrained object, without end.

use serde_json::{Map, Number, Value, json};

/// The formats that the compiler enforces. All others only describe a text.
const FORMATS: [&str; 10] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
];

/// Maximum length of a text in a format without a bound, such as a time, whose fraction of a second has any number of digits.
const LONGEST: [(&str, u64); 3] = [("date-time", 35), ("time", 24), ("duration", 32)];

/// The largest number without `maximum`: 19 digits, within 64 bits.
const LARGEST: f64 = 9e18;

/// The step of numbers without `multipleOf`: eight decimals.
const STEP: f64 = 1e-8;

/// Maximum number of members of an unconstrained object.
const MAX_MEMBERS: u64 = 64;

/// Maximum number of items of an unconstrained array.
const MAX_ITEMS: u64 = 256;

/// Maximum nesting of an unconstrained value.
const MAX_DEPTH: usize = 12;

/// The keyword with the definitions of a schema.
const DEFS: &str = "$defs";

/// Keywords that describe a value and do not constrain it.
const REMARKS: [&str; 9] = [
    "$comment",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
    "$defs",
];

/// Bounds a schema.
pub(super) fn bound(schema: &mut Map<String, Value>) {
    let anything = can_be_led_to(schema).then_some(MAX_DEPTH);
    let mut whole = Value::Object(std::mem::take(schema));
    value(&mut whole, anything, false);
    if let Value::Object(bounded) = whole {
        *schema = bounded;
    }
    if anything.is_some() {
        let defs = schema.entry(DEFS).or_insert_with(|| json!({}));
        if let Value::Object(defs) = defs {
            defs.extend((0..=MAX_DEPTH).map(|depth| (name(depth), any(depth))));
        }
    }
}

/// Whether its parts can refer to our definitions, which they cannot if a part has an `$id`.
fn can_be_led_to(schema: &Map<String, Value>) -> bool {
    let mut parts: Vec<&Value> = schema.values().collect();
    while let Some(part) = parts.pop() {
        match part {
            Value::Object(members) if members.get("$id").is_some_and(Value::is_string) => {
                return false;
            }
            Value::Object(members) => parts.extend(members.values()),
            Value::Array(items) => parts.extend(items),
            _ => {}
        }
    }
    !schema.contains_key("$id") && schema.get(DEFS).is_none_or(Value::is_object)
}

/// Prefix of the names of our definitions.
const OURS: &str = "slm-any-";

fn name(depth: usize) -> String {
    format!("{OURS}{depth}")
}

/// Whether a definition is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// Whether the target of a reference is one of our definitions of an unconstrained value.
pub(super) fn is_anything(target: &str) -> bool {
    target.rsplit('/').next().is_some_and(is_ours)
}

fn reference(depth: usize) -> Value {
    json!({"$ref": format!("#/{DEFS}/{}", name(depth))})
}

/// The schema of any value with at most this nesting.
fn any(depth: usize) -> Value {
    let mut any = json!({
        "type": ["null", "boolean", "number", "string"],
        "minimum": -LARGEST, "maximum": LARGEST, "multipleOf": STEP,
    });
    if depth > 0 {
        any["type"] = json!(["null", "boolean", "number", "string", "array", "object"]);
        any["items"] = reference(depth - 1);
        any["maxItems"] = MAX_ITEMS.into();
        any["additionalProperties"] = reference(depth - 1);
        any["maxProperties"] = MAX_MEMBERS.into();
    }
    any
}

/// Bounds a schema and all below it. `anything` is the nesting of unconstrained values, and `is_part` says that other parts describe the same value.
fn value(schema: &mut Value, anything: Option<usize>, is_part: bool) {
    let says_nothing = match schema {
        Value::Bool(allowed) => *allowed,
        Value::Object(members) => members.keys().all(|name| REMARKS.contains(&name.as_str())),
        _ => false,
    };
    if says_nothing && let Some(depth) = anything.filter(|_| !is_part) {
        let mut bounded = reference(depth);
        if let (Value::Object(bounded), Value::Object(remarks)) = (&mut bounded, &mut *schema) {
            bounded.append(remarks);
        }
        *schema = bounded;
    }
    let Value::Object(members) = schema else {
        return;
    };
    let has_parts = ["allOf", "anyOf", "oneOf", "$ref"]
        .iter()
        .any(|it| members.contains_key(*it));
    below(members, anything, is_part || has_parts);
    text(members);
    number(members);
    if let Some(depth) = anything.filter(|_| !is_part && !has_parts) {
        open(members, depth);
    }
}

fn below(members: &mut Map<String, Value>, anything: Option<usize>, is_part: bool) {
    let alone = ["type", "properties", "allOf", "$ref", "required"];
    let tells = alone.iter().any(|it| members.contains_key(*it));
    for (name, part) in members.iter_mut() {
        match (name.as_str(), part) {
            ("properties" | "patternProperties", Value::Object(schemas)) => {
                schemas
                    .values_mut()
                    .for_each(|it| value(it, anything, is_part));
            }
            ("$defs" | "definitions", Value::Object(schemas)) => {
                schemas
                    .values_mut()
                    .for_each(|it| value(it, anything, false));
            }
            ("allOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|it| value(it, anything, true));
            }
            ("anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|it| value(it, anything, tells));
            }
            ("items" | "prefixItems", Value::Array(schemas)) => {
                schemas
                    .iter_mut()
                    .for_each(|it| value(it, anything, is_part));
            }
            ("items" | "additionalItems" | "additionalProperties", schema) => {
                value(schema, anything, is_part);
            }
            _ => {}
        }
    }
}

/// An object or array without a schema for its content.
fn open(members: &mut Map<String, Value>, depth: usize) {
    let is = |members: &Map<String, Value>, kind: &str| match members.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        _ => false,
    };
    let lacks = |members: &Map<String, Value>, names: &[&str]| {
        names.iter().all(|it| !members.contains_key(*it))
    };
    if is(members, "object") && lacks(members, &["properties", "patternProperties"]) {
        members
            .entry("additionalProperties")
            .or_insert_with(|| reference(depth));
        most(members, "maxProperties", "minProperties", MAX_MEMBERS);
    }
    if is(members, "array") && lacks(members, &["items", "prefixItems", "additionalItems"]) {
        members.insert("items".into(), reference(depth));
        most(members, "maxItems", "minItems", MAX_ITEMS);
    }
}

/// Adds a maximum if there is none and the minimum is not above it.
fn most(members: &mut Map<String, Value>, most: &str, least: &str, bound: u64) {
    let required = members
        .get("required")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let needed = members.get(least).and_then(Value::as_u64).unwrap_or(0);
    if needed.max(required as u64) <= bound {
        members.entry(most).or_insert_with(|| bound.into());
    }
}

/// Removes formats that only describe a text, and bounds formats without a maximum length.
fn text(members: &mut Map<String, Value>) {
    let Some(Value::String(format)) = members.get("format") else {
        return;
    };
    if !FORMATS.contains(&format.as_str()) {
        members.remove("format");
        return;
    }
    let longest = LONGEST.iter().find(|(known, _)| known == format);
    if let Some((_, longest)) = longest {
        let longest = Value::from(*longest);
        members.entry("maxLength").or_insert(longest);
    }
}

/// The inclusive bounds of a number.
///
/// For some ranges with an exclusive bound the compiler allows the bound itself, and it rounds numbers beyond 2⁵³. So all bounds are
/// written as inclusive ones, moved inwards.
fn number(members: &mut Map<String, Value>) {
    let kinds = members.get("type");
    let only = |kind: &str| kinds.is_some_and(|it| it == kind);
    let can_be = |kind: &str| match kinds {
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        _ => only(kind),
    };
    let is_integer = only("integer") || can_be("integer") && !can_be("number");
    let is_number = can_be("number");
    let vocabulary = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    let is_bounded = vocabulary.iter().any(|it| members.contains_key(*it));
    // The compiler refuses a bound that is not a number.
    let is_wrong = vocabulary
        .iter()
        .filter_map(|it| members.get(*it))
        .any(|it| !it.is_number() && !it.is_boolean());
    if is_wrong || !(is_integer || is_number || is_bounded && kinds.is_none()) {
        return;
    }
    let least = Bound::of(members, "minimum", "exclusiveMinimum", false);
    let most = Bound::of(members, "maximum", "exclusiveMaximum", true);
    for word in vocabulary {
        members.remove(word);
    }
    let move_in = |bound: Option<Bound>| bound.map(|it| it.included(is_integer));
    let (low, high) = (move_in(least), move_in(most).map(|high| -high));
    let needs_bounds = is_integer || is_number;
    let low = low.or((needs_bounds && high.is_none_or(|it| it > -LARGEST)).then_some(-LARGEST));
    let high = high.or((needs_bounds && low.is_none_or(|it| it < LARGEST)).then_some(LARGEST));
    let mut put = |word: &str, bound: Option<f64>| {
        if let Some(bound) = bound.and_then(Number::from_f64) {
            members.insert(word.into(), bound.into());
        }
    };
    put("minimum", low);
    put("maximum", high);
    let is_wide = low
        .zip(high)
        .is_none_or(|(low, high)| high - low > 100.0 * STEP);
    if is_number && is_wide {
        members.entry("multipleOf").or_insert_with(|| json!(STEP));
    }
}

/// A lower bound; an upper bound is a lower bound with the opposite sign.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// The number as a float.
    number: f64,
    /// The same for a whole number.
    whole: Option<i128>,
    is_excluded: bool,
}

impl Bound {
    /// The stricter of an inclusive and an exclusive bound.
    fn of(members: &Map<String, Value>, plain: &str, excluded: &str, upper: bool) -> Option<Self> {
        let read = |word: &str| {
            let Some(Value::Number(number)) = members.get(word) else {
                return None;
            };
            let whole = number
                .as_i64()
                .map(i128::from)
                .or(number.as_u64().map(i128::from));
            let (number, sign) = (number.as_f64()?, if upper { -1 } else { 1 });
            Some(Self {
                number: number * f64::from(sign),
                whole: whole.map(|it| it * i128::from(sign)),
                is_excluded: false,
            })
        };
        let mut plain = read(plain);
        // In older schemas a boolean says whether the bound is exclusive.
        if let (Some(bound), Some(Value::Bool(true))) = (&mut plain, members.get(excluded)) {
            bound.is_excluded = true;
        }
        let other = read(excluded).map(|bound| Self {
            is_excluded: true,
            ..bound
        });
        match (plain, other) {
            (Some(plain), Some(other)) if plain.number > other.number => Some(plain),
            (plain, other) => other.or(plain),
        }
    }

    /// An inclusive bound that allows no number that this one excludes.
    fn included(self, is_integer: bool) -> f64 {
        if !is_integer {
            let moved = self.number + STEP;
            return match self.is_excluded {
                true if moved > self.number => moved,
                true => self.number.next_up(),
                false => self.number,
            };
        }
        let excluded = i128::from(self.is_excluded);
        let whole = match self.whole {
            Some(whole) => whole + excluded,
            None if self.number.fract() == 0.0 => self.number as i128 + excluded,
            None => self.number.ceil() as i128,
        };
        let near = whole as f64;
        if (near as i128) < whole {
            near.next_up()
        } else {
            near
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(schema: Value) -> Value {
        let Value::Object(mut schema) = schema else {
            panic!("no schema");
        };
        bound(&mut schema);
        schema.remove(DEFS);
        schema.into()
    }

    #[test]
    fn bounds_are_moved_to_the_inside() {
        let of = |schema: Value| {
            let bounded = bounded(schema);
            [&bounded["minimum"], &bounded["maximum"]].map(|it| it.as_f64().unwrap())
        };
        for (schema, expected) in [
            (
                json!({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}),
                [1.0, 9.0],
            ),
            (
                json!({"type": "integer", "minimum": -1.5, "exclusiveMaximum": 2.5}),
                [-1.0, 2.0],
            ),
            (
                json!({"type": "integer", "exclusiveMinimum": -2.0, "exclusiveMaximum": 0}),
                [-1.0, -1.0],
            ),
            (
                json!({"type": "integer", "minimum": 9_007_199_254_740_993_i64}),
                [9_007_199_254_740_994.0, LARGEST],
            ),
            (
                json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.9}),
                [STEP, 0.9],
            ),
            (
                json!({"type": "number", "minimum": 0, "exclusiveMinimum": true}),
                [STEP, LARGEST],
            ),
            (
                json!({"type": "number", "minimum": 3, "exclusiveMinimum": 1}),
                [3.0, LARGEST],
            ),
            (
                json!({"type": "number", "exclusiveMaximum": 0}),
                [-LARGEST, -STEP],
            ),
            (
                json!({"type": "number", "exclusiveMinimum": 1e12, "maximum": 1e13}),
                [1e12_f64.next_up(), 1e13],
            ),
        ] {
            assert_eq!(of(schema.clone()), expected, "{schema}");
        }
    }

    #[test]
    fn a_format_that_only_describes_is_none() {
        let text = |format: &str| json!({"type": "string", "format": format});
        assert_eq!(bounded(text("password")), json!({"type": "string"}));
        assert_eq!(bounded(text("uuid")), text("uuid"));
        assert_eq!(bounded(text("date-time"))["maxLength"], 35);
        assert_eq!(
            bounded(json!({"properties": {"format": {"type": "null"}}})),
            json!({"properties": {"format": {"type": "null"}}})
        );
    }

    #[test]
    fn what_may_hold_anything_is_bounded() {
        let open = bounded(json!({"type": "object"}));
        assert_eq!(open["maxProperties"], MAX_MEMBERS);
        assert_eq!(open["additionalProperties"], reference(MAX_DEPTH));
        let open =
            bounded(json!({"properties": {"a": {}, "b": {"type": "array", "description": "x"}}}));
        assert_eq!(open["properties"]["a"], reference(MAX_DEPTH));
        assert_eq!(open["properties"]["b"]["maxItems"], MAX_ITEMS);
        // With an `$id` in a part, references cannot reach our definitions.
        let addressed = json!({"$id": "urn:x", "type": "object"});
        assert_eq!(bounded(addressed.clone()), addressed);
    }
}
