//! OpenAI's Responses API: `/v1/responses` and `/v1/conversations`.
//!
//! A request has *items*: messages, tool calls, their results and reasoning. A *response* has items too, and a later request can
//! continue it by its id.

mod conversation;
mod event;
mod item;
mod list;
mod request;
mod response;

pub use conversation::{Conversation, ConversationRequest, DeletedConversation, ItemsRequest};
pub use event::{ContentPart, EventBody, StreamEvent};
pub use item::{
    FunctionCallItem, FunctionCallType, ItemStatus, LogprobEntry, MessageItem, MessageType,
    OutputItem, OutputText, OutputTextType, ReasoningItem, ReasoningText, ReasoningTextType,
    ReasoningType, SummaryText, SummaryTextType, TokenEntry,
};
pub use list::{DeletedResponse, InputTokens, ItemList, ItemsQuery, RetrieveQuery};
pub use request::{
    ConversationRef, InputTokensRequest, ReasoningOptions, ResponseRequest, ResponseStreamOptions,
    TextOptions,
};
pub use response::{
    ConversationId, IncompleteDetails, InputTokensDetails, OutputTokensDetails, Response,
    ResponseError, ResponseStatus, ResponseType, ResponseUsage,
};
