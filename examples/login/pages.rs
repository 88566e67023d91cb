//! What both logins show, and which names they take. Whoever names a name is logged in by it:
//! passwords are not the point.

use serde::Deserialize;

/// Where a session has its user's name.
pub(crate) const USER: &str = "user";

/// The longest name: a session's size must not be left to whoever sends a form.
const MOST_NAME_BYTES: usize = 64;

/// The form.
#[derive(Deserialize)]
pub(crate) struct Login {
    name: String,
}

impl Login {
    /// The name, or what is wrong with it.
    pub(crate) fn name(&self) -> Result<&str, &'static str> {
        let name = self.name.trim();
        if name.is_empty() || name.len() > MOST_NAME_BYTES {
            return Err("name: 1 to 64 bytes");
        }
        Ok(name)
    }
}

/// The page of a user with `more` below, or of a visitor who is not logged in.
pub(crate) fn page(user: Option<&str>, more: &str) -> String {
    match user {
        Some(user) => LOGGED_IN.replace("{user}", &escaped(user)).replace("{more}", more),
        None => LOGGED_OUT.to_owned(),
    }
}

pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}

const LOGGED_OUT: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Log in</title>
<form method="post" action="/login"><label>Name <input name="name" required maxlength="64" autofocus></label>
<button>Log in</button></form></html>
"#;

const LOGGED_IN: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Welcome</title>
<p>Hello, {user}.</p>
<form method="post" action="/logout"><button>Log out</button></form>
{more}</html>
"#;
