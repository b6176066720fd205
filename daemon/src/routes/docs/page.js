// Shows the OpenAPI document: a section for each tag, and a folded entry for each route.
"use strict";

const METHODS = ["get", "head", "post", "delete"];

/** An element with this class and these children; a text becomes a text node, so that no text is read as HTML. */
function element(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A text with the two marks of Markdown that the descriptions use: `code` and *emphasis*. */
function inline(markdown) {
  return (markdown || "").split(/(`[^`]+`|\*[^*\s][^*]*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`")) return element("code", "", part.slice(1, -1));
    if (part.length > 2 && part.startsWith("*")) return element("em", "", part.slice(1, -1));
    return part;
  });
}

/** The paragraphs of a text. */
function text(markdown) {
  const paragraphs = (markdown || "").split(/\n\n+/).filter(Boolean);
  return paragraphs.map((paragraph) => element("p", "", ...inline(paragraph)));
}

/** The schema that a reference names, or the schema itself. */
function resolved(api, schema) {
  const name = schema.$ref && schema.$ref.replace("#/components/schemas/", "");
  return name ? { name, ...api.components.schemas[name] } : schema;
}

/** The forms of a schema without `null`. */
function forms(api, schema) {
  const all = schema.oneOf || schema.anyOf || [schema];
  return all.filter((form) => form.type !== "null").map((form) => resolved(api, form));
}

/** The fields of an object, also of one that is put together from several. */
function fields(api, schema) {
  const parts = (schema.allOf || []).map((part) => resolved(api, part));
  const inherited = parts.flatMap((part) => forms(api, part).flatMap((form) => fields(api, form)));
  const required = schema.required || [];
  const own = Object.entries(schema.properties || {});
  return inherited.concat(own.map(([name, value]) => ({ name, schema: value, required: required.includes(name) })));
}

/** The type of a schema in words. */
function kind(api, schema) {
  const words = forms(api, schema).map((form) => {
    if (form.enum) return form.enum.map((value) => JSON.stringify(value)).join(" or ");
    if (form.items) return `list of ${kind(api, form.items)}`;
    if (form.oneOf || form.anyOf) return kind(api, form);
    const types = [form.type || (form.allOf ? "object" : "any")].flat().filter((type) => type !== "null");
    return form.format ? `${types.join(" or ")} (${form.format})` : types.join(" or ");
  });
  return [...new Set(words)].join(" or ");
}

/** The objects inside a schema: its forms, and those of the items of its lists. */
function objects(api, schema) {
  return forms(api, schema).flatMap((form) => {
    if (form.items) return objects(api, form.items);
    if (form.oneOf || form.anyOf) return objects(api, form);
    return fields(api, form).length > 0 ? [form] : [];
  });
}

/** The fields of the objects of a schema. They are made when they are unfolded, because a body can contain itself. */
function nested(api, schema, open) {
  return objects(api, schema).map((form) => {
    const details = element("details", "fields", element("summary", "", form.name || "fields"));
    const fill = () => {
      if (details.childElementCount > 1) return;
      details.append(...text(form.description), table(api, fields(api, form)));
    };
    details.addEventListener("toggle", fill);
    if (open) {
      fill();
      details.open = true;
    }
    return details;
  });
}

/** A row for each field or parameter. */
function table(api, rows) {
  return element("table", "", ...rows.map((row) => {
    const schema = resolved(api, row.schema || {});
    const about = row.description || row.schema.description || (row.schema.oneOf || []).map((form) => form.description).find(Boolean);
    const type = `${kind(api, row.schema)}${row.required ? ", required" : ""}${row.in ? `, in the ${row.in}` : ""}`;
    return element("tr", "",
      element("td", "", element("code", "", row.name), element("div", "kind", type)),
      element("td", "", ...text(about || schema.description), ...nested(api, row.schema, false)));
  }));
}

/** A body: its media types, and its fields. */
function body(api, content, open) {
  return Object.entries(content || {}).flatMap(([type, media]) => [
    element("p", "faint", type, ": ", kind(api, media.schema || {})),
    ...nested(api, media.schema || {}, open),
  ]);
}

/** What is inside the entry of a route. */
function inside(api, operation) {
  const parts = [...text(operation.description)];
  if (operation.parameters) parts.push(element("h3", "", "Parameters"), table(api, operation.parameters));
  if (operation.requestBody) parts.push(element("h3", "", "Request"), ...body(api, operation.requestBody.content, true));
  parts.push(element("h3", "", "Responses"));
  for (const [status, response] of Object.entries(operation.responses)) {
    parts.push(element("p", "", element("code", "", status), " ", ...inline(response.description)), ...body(api, response.content, false));
  }
  return parts;
}

/** The words that the filter searches: path, summary, and the names of fields and parameters. */
function words(api, path, operation) {
  const bodies = Object.values((operation.requestBody || {}).content || {});
  const names = bodies.flatMap((media) => objects(api, media.schema || {}).flatMap((form) => fields(api, form)));
  const all = [path, operation.summary, ...names.concat(operation.parameters || []).map((row) => row.name)];
  return all.join(" ").toLowerCase();
}

/** The folded entry of a route. */
function route(api, path, method, operation) {
  const details = element("details", "route", element("summary", "",
    element("span", "method", method.toUpperCase()),
    element("code", "path", path), " ",
    element("span", "faint", ...inline(operation.summary))));
  details.id = operation.operationId;
  details.dataset.words = words(api, path, operation);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...inside(api, operation));
  });
  return details;
}

/** The section of a tag. */
function section(api, tag) {
  const routes = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method] && (item[method].tags || []).includes(tag.name))
      .map((method) => route(api, path, method, item[method])));
  return element("section", "", element("h2", "", tag.name), ...text(tag.description), ...routes);
}

/** Hides the routes without the words of the filter. */
function filter(query) {
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of document.querySelectorAll("details.route")) {
    entry.hidden = !wanted.every((word) => entry.dataset.words.includes(word));
  }
  for (const part of document.querySelectorAll("section")) {
    part.hidden = !part.querySelector("details.route:not([hidden])");
  }
}

/** Unfolds the route that the address names. */
function unfold() {
  const entry = document.getElementById(location.hash.slice(1));
  if (!entry) return;
  entry.open = true;
  entry.scrollIntoView();
}

async function show() {
  const main = document.getElementById("main");
  try {
    const answer = await fetch("/slm/v1/openapi.json");
    if (!answer.ok) throw new Error(`the daemon answered with ${answer.status}`);
    const api = await answer.json();
    document.getElementById("version").textContent = api.info.version;
    main.replaceChildren(...text(api.info.description), ...api.tags.map((tag) => section(api, tag)));
    document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
    addEventListener("hashchange", unfold);
    unfold();
  } catch (error) {
    main.replaceChildren(element("p", "", `The document openapi.json cannot be shown: ${error.message}`));
  }
}

show();
