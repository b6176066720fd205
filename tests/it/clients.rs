//! Client libraries of other projects against the daemon, in the versions that `tests/clients` pins.
//!
//! Each test runs one script of that folder; that of Rust is a program.

mod packages;
mod quick_starts;
mod service;

use service::Service;

#[test]
fn ollama_of_python_holds_conversations() {
    Service::run_python("ollama_chat.py");
}

#[test]
fn ollama_of_python_manages_models() {
    Service::run_python("ollama_models.py");
}

#[test]
fn ollama_of_npm_holds_conversations() {
    Service::run_node("ollama.mjs");
}

#[test]
fn langchain_works_through_its_binding_to_ollama() {
    Service::run_python("langchain_with_ollama.py");
}

#[test]
fn llm_works_through_its_plugin_for_ollama() {
    Service::run_python("llm_with_ollama.py");
}

#[test]
fn openai_of_python_speaks_the_responses_api() {
    Service::run_python("openai_responses.py");
}

#[test]
fn anthropic_of_python_sends_messages() {
    Service::run_python("anthropic_messages.py");
}

#[test]
fn anthropic_of_npm_sends_messages() {
    Service::run_node("anthropic.mjs");
}

#[test]
fn openai_of_python_completes_chats() {
    Service::run_python("openai_chat.py");
}

#[test]
fn openai_of_npm_completes_chats() {
    Service::run_node("openai.mjs");
}

#[test]
fn langchain_works_through_its_binding_to_openai() {
    Service::run_python("langchain_with_openai.py");
}

#[test]
fn async_openai_of_rust_speaks_chat_and_responses() {
    Service::run_rust();
}

#[test]
fn schemathesis_finds_no_fault_on_any_route() {
    Service::run_python("every_route.py");
}
