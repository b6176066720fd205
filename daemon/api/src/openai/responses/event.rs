//! Events of a streamed response.

use serde::Serialize;
use utoipa::ToSchema;

use super::item::{LogprobEntry, OutputItem, OutputText, ReasoningText, SummaryText};
use super::response::Response;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = openai::responses::StreamEvent)]
pub struct StreamEvent {
    /// Its type and content.
    #[serde(flatten)]
    pub body: EventBody,
    /// Its place in the stream, from 0.
    pub sequence_number: u64,
}

/// The type of an event and its content.
///
/// The events of an item come in this order: `output_item.added`, the events of its content, `output_item.done`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type")]
pub enum EventBody {
    /// The response exists. The first event.
    #[serde(rename = "response.created")]
    Created {
        /// The response.
        response: Box<Response>,
    },
    /// The model generates.
    #[serde(rename = "response.in_progress")]
    InProgress {
        /// The response.
        response: Box<Response>,
    },
    /// An item begins.
    #[serde(rename = "response.output_item.added")]
    ItemAdded {
        /// Place of the item in the output.
        output_index: usize,
        /// The item, without content.
        item: OutputItem,
    },
    /// A text of an item begins.
    #[serde(rename = "response.content_part.added")]
    PartAdded {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the text in the item.
        content_index: usize,
        /// The text, which is empty.
        part: ContentPart,
    },
    /// More of a text.
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the text in the item.
        content_index: usize,
        /// What is added.
        delta: String,
        /// Logprobs of the tokens.
        logprobs: Vec<LogprobEntry>,
    },
    /// A text is complete.
    #[serde(rename = "response.output_text.done")]
    TextDone {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the text in the item.
        content_index: usize,
        /// The whole text.
        text: String,
        /// Logprobs of all its tokens.
        logprobs: Vec<LogprobEntry>,
    },
    /// More of the thinking.
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the text in the item.
        content_index: usize,
        /// What is added.
        delta: String,
    },
    /// The thinking is complete.
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the text in the item.
        content_index: usize,
        /// The whole thinking.
        text: String,
    },
    /// A text of an item is complete.
    #[serde(rename = "response.content_part.done")]
    PartDone {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the text in the item.
        content_index: usize,
        /// The whole text.
        part: ContentPart,
    },
    /// A summary begins.
    #[serde(rename = "response.reasoning_summary_part.added")]
    SummaryAdded {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the summary in the item.
        summary_index: usize,
        /// The summary, which is empty.
        part: SummaryText,
    },
    /// More of a summary.
    #[serde(rename = "response.reasoning_summary_text.delta")]
    SummaryDelta {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the summary in the item.
        summary_index: usize,
        /// What is added.
        delta: String,
    },
    /// The text of a summary is complete.
    #[serde(rename = "response.reasoning_summary_text.done")]
    SummaryDone {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the summary in the item.
        summary_index: usize,
        /// The whole summary.
        text: String,
    },
    /// A summary is complete.
    #[serde(rename = "response.reasoning_summary_part.done")]
    SummaryPartDone {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Place of the summary in the item.
        summary_index: usize,
        /// The whole summary.
        part: SummaryText,
    },
    /// More of the arguments of a call.
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// What is added.
        delta: String,
    },
    /// The arguments of a call are complete.
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone {
        /// Id of the item.
        item_id: String,
        /// Place of the item in the output.
        output_index: usize,
        /// Name of the function.
        name: String,
        /// The whole arguments.
        arguments: String,
    },
    /// An item is complete, or cut off.
    #[serde(rename = "response.output_item.done")]
    ItemDone {
        /// Place of the item in the output.
        output_index: usize,
        /// The whole item.
        item: OutputItem,
    },
    /// The response is complete. The last event.
    #[serde(rename = "response.completed")]
    Completed {
        /// The whole response.
        response: Box<Response>,
    },
    /// The response was cut off. The last event.
    #[serde(rename = "response.incomplete")]
    Incomplete {
        /// The whole response.
        response: Box<Response>,
    },
    /// The response failed. The last event.
    #[serde(rename = "response.failed")]
    Failed {
        /// The response so far, with the error.
        response: Box<Response>,
    },
}

/// A text of an item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ContentPart {
    /// A text of a message.
    Text(OutputText),
    /// A text of reasoning.
    Reasoning(ReasoningText),
}

impl EventBody {
    /// Its type, as `type` has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::InProgress { .. } => "response.in_progress",
            Self::ItemAdded { .. } => "response.output_item.added",
            Self::PartAdded { .. } => "response.content_part.added",
            Self::TextDelta { .. } => "response.output_text.delta",
            Self::TextDone { .. } => "response.output_text.done",
            Self::ReasoningDelta { .. } => "response.reasoning_text.delta",
            Self::ReasoningDone { .. } => "response.reasoning_text.done",
            Self::PartDone { .. } => "response.content_part.done",
            Self::SummaryAdded { .. } => "response.reasoning_summary_part.added",
            Self::SummaryDelta { .. } => "response.reasoning_summary_text.delta",
            Self::SummaryDone { .. } => "response.reasoning_summary_text.done",
            Self::SummaryPartDone { .. } => "response.reasoning_summary_part.done",
            Self::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::ArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::ItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Failed { .. } => "response.failed",
        }
    }
}
