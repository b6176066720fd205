//! Rewrites a parsed template so that it charges its budget, and prints values as Go does.
//!
//! - Each body begins with a call of `__step`, so that empty loops and recursions count too.
//! - Each printed value passes through `__print`, which prints lists and maps as JSON, as the Go types of `.Tools` and `.Arguments`
//!   do.
//! - Each argument of a function passes through `__take`, or `__format` if the function prints it. Both charge its size *before* the
//!   function runs.

use std::collections::{BTreeMap, BTreeSet};

use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, DefineNode, Expr, ListNode, Node, PipeNode, Pos,
};

use super::{Error, functions};

/// Instruments a body and all nodes in it.
pub(super) fn meter(mut body: ListNode) -> ListNode {
    for node in &mut body.nodes {
        meter_node(node);
    }
    let step = Node::Action(ActionNode {
        pos: body.pos,
        pipe: PipeNode {
            pos: body.pos,
            decl: Vec::new(),
            commands: vec![call(body.pos, "__step", Vec::new())],
            is_assign: false,
        },
    });
    body.nodes.insert(0, step);
    body
}

fn meter_node(node: &mut Node) {
    match node {
        Node::List(list) => take(list),
        Node::Action(action) => {
            meter_pipe(&mut action.pipe);
            if action.pipe.decl.is_empty() {
                let print = call(action.pos, "__print", Vec::new());
                action.pipe.commands.push(print);
            }
        }
        Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
            meter_pipe(&mut branch.pipe);
            take(&mut branch.body);
            if let Some(body) = &mut branch.else_body {
                take(body);
            }
        }
        Node::Template(template) => {
            if let Some(pipe) = &mut template.pipe {
                meter_pipe(pipe);
            }
        }
        Node::Define(define) => take(&mut define.body),
        Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
    }
}

/// Instruments a body in place.
fn take(body: &mut ListNode) {
    let empty = ListNode {
        pos: body.pos,
        nodes: Vec::new(),
    };
    *body = meter(std::mem::replace(body, empty));
}

fn meter_pipe(pipe: &mut PipeNode) {
    let commands = std::mem::take(&mut pipe.commands);
    for (index, mut command) in commands.into_iter().enumerate() {
        let function = function_of(&command).map(|(_, name)| name.to_owned());
        for argument in &mut command.args {
            meter_expr(argument);
        }
        if let Some(name) = function.filter(|name| !is_lazy(name)) {
            let meter = if functions::WRITERS.contains(&name.as_str()) {
                "__format"
            } else {
                "__take"
            };
            for argument in command.args.iter_mut().skip(1) {
                meter_argument(argument, meter);
            }
            if index > 0 {
                pipe.commands.push(call(command.pos, meter, Vec::new()));
            }
        }
        pipe.commands.push(command);
    }
}

fn meter_expr(expr: &mut Expr) {
    match expr {
        Expr::Pipe(_, pipe) => meter_pipe(pipe),
        Expr::Chain(_, inner, _) => meter_expr(inner),
        Expr::Dot(_)
        | Expr::Field(..)
        | Expr::Variable(..)
        | Expr::Identifier(..)
        | Expr::String(..)
        | Expr::Number(..)
        | Expr::Bool(..)
        | Expr::Nil(_) => {}
    }
}

/// `and` and `or` return one of their arguments, and must not evaluate the others.
fn is_lazy(function: &str) -> bool {
    matches!(function, "and" | "or")
}

/// Passes an argument through a meter. Numbers and booleans are small, and `nil` is valid only as a literal.
fn meter_argument(expr: &mut Expr, meter: &str) {
    if matches!(expr, Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_)) {
        return;
    }
    let pos = expr.pos();
    let inner = std::mem::replace(expr, Expr::Nil(pos));
    *expr = Expr::Pipe(
        pos,
        PipeNode {
            pos,
            decl: Vec::new(),
            commands: vec![call(pos, meter, vec![inner])],
            is_assign: false,
        },
    );
}

fn call(pos: Pos, function: &str, arguments: Vec<Expr>) -> CommandNode {
    let mut args = vec![Expr::Identifier(pos, function.into())];
    args.extend(arguments);
    CommandNode { pos, args }
}

/// The function that a command calls, if any.
fn function_of(command: &CommandNode) -> Option<(Pos, &str)> {
    let mut first = command.args.first()?;
    while let Expr::Chain(_, inner, _) = first {
        first = inner;
    }
    match first {
        Expr::Identifier(pos, name) => Some((*pos, name.as_str())),
        _ => None,
    }
}

/// The fields in a template.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// All fields, such as `Messages` and `Role`.
    pub(super) names: BTreeSet<String>,
    /// Fields at the root, each with its first line.
    pub(super) roots: BTreeMap<String, usize>,
    /// Depth of bodies whose dot is not the root.
    inner: usize,
    /// Whether `$` is the root.
    is_main: bool,
}

/// All fields in a template.
///
/// # Errors
/// [`Error::UnknownFunction`], which gotmpl reports only when the function is called.
pub(super) fn names(body: &ListNode, defines: &[DefineNode]) -> Result<Names, Error> {
    let mut names = Names {
        is_main: true,
        ..Names::default()
    };
    names.list(body)?;
    names.is_main = false;
    for define in defines {
        names.list(&define.body)?;
    }
    Ok(names)
}

impl Names {
    fn list(&mut self, list: &ListNode) -> Result<(), Error> {
        list.nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &Node) -> Result<(), Error> {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.pipe(&action.pipe),
            Node::If(branch) => self.branch(branch, 0),
            Node::Range(branch) | Node::With(branch) => self.branch(branch, 1),
            Node::Template(template) => template.pipe.iter().try_for_each(|pipe| self.pipe(pipe)),
            Node::Define(define) => self.list(&define.body),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    /// In the body of `range` and `with`, fields belong to the new dot.
    fn branch(&mut self, branch: &BranchNode, inner: usize) -> Result<(), Error> {
        self.pipe(&branch.pipe)?;
        self.inner += inner;
        self.list(&branch.body)?;
        self.inner -= inner;
        branch.else_body.iter().try_for_each(|body| self.list(body))
    }

    fn root(&mut self, line: usize, fields: &[gotmpl::parse::SmolStr]) {
        if let (Some(first), true) = (fields.first(), self.is_main) {
            self.roots.entry(first.to_string()).or_insert(line);
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) -> Result<(), Error> {
        let mut expressions = pipe.commands.iter().flat_map(|command| &command.args);
        expressions.try_for_each(|expr| self.expr(expr))
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), Error> {
        match expr {
            Expr::Field(pos, fields) => {
                if self.inner == 0 {
                    self.root(pos.line, fields);
                }
                self.names.extend(fields.iter().map(ToString::to_string));
                Ok(())
            }
            Expr::Variable(pos, name, fields) => {
                if name == "$" {
                    self.root(pos.line, fields);
                }
                self.names.extend(fields.iter().map(ToString::to_string));
                Ok(())
            }
            Expr::Identifier(pos, name) if !functions::exists(name) => {
                Err(Error::UnknownFunction {
                    name: name.to_string(),
                    line: pos.line,
                })
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, fields) => {
                self.names.extend(fields.iter().map(ToString::to_string));
                self.expr(inner)
            }
            Expr::Identifier(..)
            | Expr::Dot(_)
            | Expr::String(..)
            | Expr::Number(..)
            | Expr::Bool(..)
            | Expr::Nil(_) => Ok(()),
        }
    }
}
