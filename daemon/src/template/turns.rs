//! Conversations as Go templates get them.

use gotmpl::parse::{BranchNode, Expr, ListNode, Node, PipeNode};
use runner_protocol::Message;

/// A prompt with its answer and its system prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) system: String,
    pub(super) prompt: String,
    pub(super) response: String,
}

/// Joins successive messages of one role, with a blank line between; tool calls and results stay separate.
pub(super) fn collated(messages: &[Message]) -> Vec<Message> {
    let mut collated: Vec<Message> = Vec::new();
    for message in messages {
        match collated.last_mut() {
            Some(last)
                if last.role == message.role
                    && message.role != "tool"
                    && last.tool_calls.is_empty()
                    && message.tool_calls.is_empty() =>
            {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            _ => collated.push(message.clone()),
        }
    }
    collated
}

/// All system messages, with blank lines between them.
pub(super) fn system(messages: &[Message]) -> String {
    let texts: Vec<&str> = messages
        .iter()
        .filter(|message| message.role == "system")
        .map(|message| message.content.as_str())
        .collect();
    texts.join("\n\n")
}

/// The conversation as exchanges. The model continues the response of the last one.
pub(super) fn exchanges(messages: &[Message]) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut current = Exchange::default();
    for message in collated(messages) {
        let begun = match message.role.as_str() {
            "system" => !current.prompt.is_empty() || !current.response.is_empty(),
            "user" => !current.response.is_empty(),
            _ => false,
        };
        if begun {
            exchanges.push(std::mem::take(&mut current));
        }
        match message.role.as_str() {
            "system" => current.system = message.content,
            "user" => current.prompt = message.content,
            "assistant" => current.response = message.content,
            _ => {}
        }
    }
    exchanges.push(current);
    exchanges
}

/// The body up to the first `.Response`, where the model continues.
pub(super) fn cut_at_response(body: &ListNode) -> ListNode {
    let mut cut = false;
    cut_list(body, &mut cut)
}

fn cut_list(list: &ListNode, cut: &mut bool) -> ListNode {
    let mut nodes = Vec::new();
    for node in &list.nodes {
        if *cut {
            break;
        }
        nodes.push(cut_node(node, cut));
    }
    ListNode {
        pos: list.pos,
        nodes,
    }
}

fn cut_node(node: &Node, cut: &mut bool) -> Node {
    match node {
        Node::List(list) => Node::List(cut_list(list, cut)),
        Node::If(branch) => Node::If(cut_branch(branch, cut)),
        Node::With(branch) => Node::With(cut_branch(branch, cut)),
        Node::Range(branch) => Node::Range(cut_branch(branch, cut)),
        Node::Action(action) => {
            *cut = *cut || mentions_response(&action.pipe);
            node.clone()
        }
        other => other.clone(),
    }
}

/// A condition on `.Response` does not end the body; a `.Response` in its branches does.
fn cut_branch(branch: &BranchNode, cut: &mut bool) -> BranchNode {
    let mut in_body = *cut;
    let mut in_else = *cut;
    let body = cut_list(&branch.body, &mut in_body);
    let else_body = branch
        .else_body
        .as_ref()
        .map(|body| cut_list(body, &mut in_else));
    *cut = in_body || in_else;
    BranchNode {
        pos: branch.pos,
        pipe: branch.pipe.clone(),
        body,
        else_body,
    }
}

fn mentions_response(pipe: &PipeNode) -> bool {
    pipe.commands
        .iter()
        .flat_map(|command| &command.args)
        .any(is_response)
}

fn is_response(expr: &Expr) -> bool {
    match expr {
        Expr::Field(_, fields) | Expr::Variable(_, _, fields) => {
            fields.iter().any(|field| field == "Response")
        }
        Expr::Pipe(_, pipe) => mentions_response(pipe),
        Expr::Chain(_, inner, fields) => {
            fields.iter().any(|field| field == "Response") || is_response(inner)
        }
        _ => false,
    }
}
