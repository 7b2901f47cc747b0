//! Expressions of a mapping, in the Common Expression Language. They are written by operators and run on whatever a
//! caller sends, so all that could grow has a limit: text, nesting, size and repetition when they are compiled, work and
//! output of a whole call when they are evaluated. There is no clock, no chance and no pattern matching in this CEL; whatever fails,
//! fails the call.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, IdedExpr, Program, Value as Cel,
    common::ast::{EntryExpr, Expr},
    objects::{Key, Map as CelMap, OptionalValue},
};
use serde_json::{Map, Number, Value};

/// Bytes of one expression.
pub const EXPRESSION_BYTES_MAX: usize = 1_024;
/// Nodes of one expression, once its macros are expanded.
pub const EXPRESSION_NODES_MAX: usize = 256;
/// Expressions within expressions.
pub const EXPRESSION_DEPTH_MAX: usize = 32;
/// Loops (`exists`, `map` …) of one expression: more could build on each other's results.
pub const EXPRESSION_LOOPS_MAX: usize = 1;
/// The most that the expressions of one call could copy, in bytes: every node over the whole input, once for each element
/// if there is a loop.
pub const WORK_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Bytes of one result as JSON.
pub const RESULT_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of all results of one call as JSON.
pub const RESULTS_BYTES_MAX: usize = 1_024 * 1_024;
/// Values within values of one result.
const RESULT_DEPTH_MAX: usize = 16;
/// Room for the parser and the evaluation, whose nesting is bounded above.
const STACK_BYTES: usize = 4 * 1_024 * 1_024;

/// What an expression may look at.
const VARIABLES: [&str; 2] = ["params", "token"];

/// The functions that may be called; operators aside, which have no letters at their beginning. All of them are of the
/// size of their arguments.
const FUNCTIONS: [&str; 17] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "hasValue",
    "value",
    "or",
    "orValue",
    "of",
    "none",
    "optional.of",
    "optional.none",
];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A text that is no expression, or none that we run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(super) String);

/// An evaluation without a result. Says no more: what a caller sent belongs into no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// One compiled expression.
#[derive(Clone)]
pub struct Expression {
    text: String,
    program: Arc<Program>,
    nodes: usize,
    loops: usize,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl Expression {
    /// Compiles a text, which stands behind the `$` of a mapping.
    pub fn compile(text: &str) -> Result<Self, Unfit> {
        let unfit = |what: String| Err(Unfit(what));
        if text.len() > EXPRESSION_BYTES_MAX {
            return unfit(format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes"));
        }
        // The parser nests with its text, so what nests too deeply never reaches it.
        let opening = |byte: &u8| matches!(byte, b'(' | b'[' | b'{' | b'!' | b'-' | b'?');
        if text.bytes().filter(|byte| opening(byte)).count() > EXPRESSION_DEPTH_MAX {
            return unfit(format!("an expression has at most {EXPRESSION_DEPTH_MAX} brackets and prefixes"));
        }
        let program = on_a_large_stack(|| ENVIRONMENT.compile(text));
        let program = program.map_err(|_| Unfit(format!("`{text}` is not an expression")))?;
        let mut shape = Shape::default();
        shape.walk(program.expression(), 0)?;
        for name in &shape.free {
            if !VARIABLES.contains(&name.as_str()) {
                return unfit(format!("`{name}` is nothing that an expression can look at: `params` and `token` are"));
            }
        }
        let Shape { nodes, loops, free: _, bound: _ } = shape;
        Ok(Self { text: text.to_owned(), program: Arc::new(program), nodes, loops })
    }

    /// Evaluates; `None` is CEL's absent value, which leaves its member out. Uses up what is left of the call's work.
    pub fn evaluate(&self, inputs: &Inputs) -> Result<Option<Value>, Failed> {
        let rounds = if self.loops == 0 { 1 } else { inputs.elements.saturating_add(self.nodes) };
        let work = inputs.bytes.saturating_add(self.text.len()).saturating_mul(self.nodes).saturating_mul(rounds);
        take(&inputs.work_left, work)?;
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("params", inputs.params.clone());
        context.add_variable_from_value("token", inputs.token.clone());
        let result = on_a_large_stack(|| self.program.execute(&context)).map_err(|_| Failed)?;
        let most = RESULT_BYTES_MAX.min(inputs.results_left.get());
        let mut left = most;
        let json = to_json(&result, &mut left, RESULT_DEPTH_MAX)?;
        take(&inputs.results_left, most.saturating_sub(left))?;
        Ok(json)
    }
}

/// Uses up a part of what is left; once it is not enough, nothing is.
fn take(left: &Cell<usize>, used: usize) -> Result<(), Failed> {
    let rest = left.get().checked_sub(used);
    left.set(rest.unwrap_or(0));
    rest.map(|_| ()).ok_or(Failed)
}

fn on_a_large_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_BYTES, STACK_BYTES, run)
}

/// What expressions look at, made once per call, and how much all of them together may still do.
#[derive(Debug, Clone)]
pub struct Inputs {
    params: Cel,
    token: Cel,
    elements: usize,
    bytes: usize,
    work_left: Cell<usize>,
    results_left: Cell<usize>,
}

impl Inputs {
    /// Takes the `params` of a message and the claims of its token.
    pub fn new(params: &Value, token: &Value) -> Result<Self, Failed> {
        let (mut elements, mut bytes) = (0, 0);
        let mut of = |value| from_json(value, &mut elements, &mut bytes);
        let (params, token) = (of(params)?, of(token)?);
        let (work_left, results_left) = (Cell::new(WORK_BYTES_MAX), Cell::new(RESULTS_BYTES_MAX));
        Ok(Self { params, token, elements, bytes, work_left, results_left })
    }
}

#[derive(Default)]
struct Shape {
    nodes: usize,
    loops: usize,
    free: BTreeSet<String>,
    bound: Vec<String>,
}

impl Shape {
    fn walk(&mut self, expression: &IdedExpr, depth: usize) -> Result<(), Unfit> {
        self.nodes += 1;
        if self.nodes > EXPRESSION_NODES_MAX || depth > EXPRESSION_DEPTH_MAX {
            return Err(Unfit("the expression is too large".to_owned()));
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Unspecified => Err(Unfit("the expression is incomplete".to_owned())),
            Expr::Struct(_) => Err(Unfit("there are no messages to make here".to_owned())),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => {
                if !self.bound.contains(name) {
                    self.free.insert(name.clone());
                }
                Ok(())
            }
            Expr::Select(select) => self.walk(&select.operand, depth),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if name.starts_with(char::is_alphabetic) && !FUNCTIONS.contains(&name) {
                    return Err(Unfit(format!("`{name}` is no function that an expression can call")));
                }
                // `optional.of(…)` and the like: the name of a library is no variable.
                let library = call
                    .target
                    .as_ref()
                    .filter(|target| matches!(&target.expr, Expr::Ident(name) if name == "optional"));
                if let (Some(target), None) = (&call.target, library) {
                    self.walk(target, depth)?;
                }
                call.args.iter().try_for_each(|argument| self.walk(argument, depth))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.walk(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.walk(&entry.key, depth)?;
                    self.walk(&entry.value, depth)
                }
                EntryExpr::StructField(_) => Err(Unfit("there are no messages to make here".to_owned())),
            }),
            Expr::Comprehension(comprehension) => {
                self.loops += 1;
                if self.loops > EXPRESSION_LOOPS_MAX {
                    return Err(Unfit(format!(
                        "an expression has at most {EXPRESSION_LOOPS_MAX} loop (`exists`, `map` …)"
                    )));
                }
                self.walk(&comprehension.iter_range, depth)?;
                self.walk(&comprehension.accu_init, depth)?;
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                self.walk(&comprehension.loop_cond, depth)?;
                self.walk(&comprehension.loop_step, depth)?;
                self.walk(&comprehension.result, depth)
            }
        }
    }
}

fn from_json(value: &Value, elements: &mut usize, bytes: &mut usize) -> Result<Cel, Failed> {
    *elements += 1;
    *bytes += size_of::<Value>();
    Ok(match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Cel::Int(number),
            (None, Some(number), _) => Cel::UInt(number),
            (None, None, Some(number)) => Cel::Float(number),
            (None, None, None) => return Err(Failed),
        },
        Value::String(text) => {
            *bytes += text.len();
            Cel::String(Arc::new(text.clone()))
        }
        Value::Array(items) => {
            let items: Result<Vec<Cel>, Failed> = items.iter().map(|item| from_json(item, elements, bytes)).collect();
            Cel::List(Arc::new(items?))
        }
        Value::Object(members) => {
            let mut map = HashMap::with_capacity(members.len());
            for (name, value) in members {
                *bytes += name.len();
                map.insert(Key::String(Arc::new(name.clone())), from_json(value, elements, bytes)?);
            }
            Cel::Map(CelMap { map: Arc::new(map) })
        }
    })
}

/// A result as JSON; `None` is absent. Bytes and types have no JSON.
fn to_json(value: &Cel, left: &mut usize, depth_left: usize) -> Result<Option<Value>, Failed> {
    let depth_left = depth_left.checked_sub(1).ok_or(Failed)?;
    let mut take = |bytes: usize| -> Result<(), Failed> {
        *left = left.checked_sub(bytes).ok_or(Failed)?;
        Ok(())
    };
    take(8)?;
    Ok(Some(match value {
        Cel::Null => Value::Null,
        Cel::Bool(truth) => Value::Bool(*truth),
        Cel::Int(number) => Value::Number((*number).into()),
        Cel::UInt(number) => Value::Number((*number).into()),
        Cel::Float(number) => Value::Number(Number::from_f64(*number).ok_or(Failed)?),
        Cel::String(text) => {
            take(text.len())?;
            Value::String(text.as_str().to_owned())
        }
        Cel::List(items) => {
            let mut list = Vec::new();
            for item in items.iter() {
                list.extend(to_json(item, left, depth_left)?);
            }
            Value::Array(list)
        }
        Cel::Map(members) => {
            let mut object = Map::new();
            for (key, value) in members.map.iter() {
                let Key::String(name) = key else { return Err(Failed) };
                *left = left.checked_sub(name.len()).ok_or(Failed)?;
                if let Some(value) = to_json(value, left, depth_left)? {
                    object.insert(name.as_str().to_owned(), value);
                }
            }
            Value::Object(object)
        }
        Cel::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => return optional.value().map_or(Ok(None), |value| to_json(value, left, depth_left)),
            None => return Err(Failed),
        },
        _ => return Err(Failed),
    }))
}

#[cfg(test)]
mod tests;
