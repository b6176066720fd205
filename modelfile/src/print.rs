//! A Modelfile to text: the exact inverse of parsing.

use std::fmt;

use crate::instruction::Instruction;
use crate::recipe::Modelfile;
use crate::value;

impl fmt::Display for Modelfile {
    /// One instruction after the other, each ended by LF, in UTF-8 without a byte order mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.instructions
            .iter()
            .try_for_each(|instruction| writeln!(f, "{instruction}"))
    }
}

impl fmt::Display for Instruction {
    /// The instruction as it stands in a Modelfile, without the line end after it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = self.keyword();
        match self {
            Self::From(text)
            | Self::Draft(text)
            | Self::Adapter(text)
            | Self::Template(text)
            | Self::System(text)
            | Self::License(text)
            | Self::Renderer(text)
            | Self::Parser(text) => write!(f, "{keyword}{}", value::write(text)),
            Self::Requires(version) => write!(f, "{keyword} {version}"),
            Self::Parameter(parameter) => {
                let text = parameter.value().to_string();
                write!(f, "{keyword} {}{}", parameter.name(), value::write(&text))
            }
            Self::Message(message) => {
                write!(
                    f,
                    "{keyword} {}{}",
                    message.role,
                    value::write(&message.content)
                )
            }
        }
    }
}
