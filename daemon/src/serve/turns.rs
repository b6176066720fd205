//! The turns of a prompt: those of the model and those of the request.

use super::ResolvedModel;
use crate::turn::{Block, Role, Turn};

/// The turns with the model's messages before them, and with its system prompt, unless they begin with one.
pub(super) fn with_model_turns(mut turns: Vec<Turn>, resolved: &ResolvedModel) -> Vec<Turn> {
    let model = &resolved.model;
    let leading = turns
        .iter()
        .take_while(|turn| turn.role == Role::System)
        .count();
    let others = turns.split_off(leading);
    if turns.is_empty() {
        let own = model.system.iter().filter(|text| !text.is_empty());
        turns.extend(own.map(|text| Turn::text(Role::System, text)));
    }
    let own = model.messages.iter();
    turns.extend(own.map(|message| Turn::text(role(message.role), &message.content)));
    turns.extend(others);
    turns
}

fn role(role: modelfile::Role) -> Role {
    match role {
        modelfile::Role::System => Role::System,
        modelfile::Role::User => Role::User,
        modelfile::Role::Assistant => Role::Assistant,
    }
}

/// Joins consecutive assistant turns, and drops a last assistant turn that has neither text nor calls. Many templates refuse such
/// conversations.
pub(super) fn joined(turns: Vec<Turn>) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match joined.last_mut() {
            Some(last) if last.role == Role::Assistant && turn.role == Role::Assistant => {
                last.blocks.extend(turn.blocks);
            }
            _ => joined.push(turn),
        }
    }
    if joined.len() > 1 {
        joined.pop_if(|last| last.role == Role::Assistant && last.blocks.iter().all(is_empty));
    }
    joined
}

fn is_empty(block: &Block) -> bool {
    match block {
        Block::Text(text) => text.is_empty(),
        Block::Thinking(_) => true,
        Block::Image(_) | Block::Call(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_assistant_turns_are_joined_and_an_empty_last_one_is_dropped() {
        let turn = |role: Role, text: &str| Turn::text(role, text);
        let user = turn(Role::User, "a");
        let two = vec![
            user.clone(),
            turn(Role::Assistant, "b"),
            turn(Role::Assistant, "c"),
        ];
        let text = |text: &str| Block::Text(text.into());
        assert_eq!(joined(two)[1].blocks, [text("b"), text("c")]);
        let empty = turn(Role::Assistant, "");
        assert_eq!(
            joined(vec![user.clone(), empty.clone()]),
            std::slice::from_ref(&user)
        );
        assert_eq!(joined(vec![empty.clone()]), [empty]);
        assert_eq!(joined(vec![user.clone(), user.clone()]).len(), 2);
    }
}
