//! How a page looks: as text, as Markdown, as HTML.

use std::fmt::Write as _;

use super::{Act, Runbook};

/// The words above what is lost.
const LOSES: &str = "What is lost this way (Sternway keeps it)";

impl Runbook {
    fn title(&self) -> String {
        let from = self.from.as_ref().map(|it| format!(" from {it}")).unwrap_or_default();
        format!("{}: {}{from} to {} by hand", self.app, self.course, self.to)
    }

    /// What stands above the steps.
    fn lists(&self) -> [(&'static str, &[String]); 3] {
        [("You need", &self.needs), (LOSES, &self.loses), ("Note", &self.notes)]
    }

    /// The two parts: what they are called, and their steps.
    fn parts(&self) -> Vec<(&'static str, &[Act])> {
        if self.by_dump.is_empty() {
            return vec![("Steps", &self.steps)];
        }
        vec![
            ("Way 1: by the migrations, with what was written since", &self.steps),
            ("Way 2: to a dump, without what was written since", &self.by_dump),
        ]
    }

    /// For a terminal or a printer.
    pub fn text(&self) -> String {
        let mut page = format!("{}\n\n", self.title());
        for (name, items) in self.lists() {
            list(&mut page, name, items);
        }
        for (name, acts) in self.parts() {
            let _ = writeln!(page, "{name}\n{}\n", "=".repeat(name.chars().count()));
            for (number, act) in acts.iter().enumerate() {
                let _ = writeln!(page, "{}. {}", number + 1, act.title);
                for why in &act.why {
                    let _ = writeln!(page, "   {why}");
                }
                for (label, commands) in blocks(act) {
                    let _ = writeln!(page, "   {label}:");
                    for line in commands.lines() {
                        let _ = writeln!(page, "       {line}");
                    }
                }
                page.push('\n');
            }
        }
        page
    }

    /// Markdown. Each block of commands is a fence of `sh`; all of a part's, one after the other in one
    /// shell with `set -eu`, are the whole of it.
    pub fn markdown(&self) -> String {
        let mut page = format!("# {}\n\n", self.title());
        for (name, items) in self.lists() {
            list(&mut page, name, items);
        }
        for (name, acts) in self.parts() {
            let _ = writeln!(page, "## {name}\n");
            for (number, act) in acts.iter().enumerate() {
                let _ = writeln!(page, "### {}. {}\n", number + 1, act.title);
                for why in &act.why {
                    let _ = writeln!(page, "{why}\n");
                }
                for (label, commands) in blocks(act) {
                    let ticks = fence(commands);
                    let _ = writeln!(page, "{label}:\n\n{ticks}sh\n{commands}\n{ticks}\n");
                }
            }
        }
        page
    }

    /// One page without anything from elsewhere.
    pub fn html(&self) -> String {
        let title = escaped(&self.title());
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n"
        );
        for (name, items) in self.lists() {
            if !items.is_empty() {
                let items: String = items.iter().map(|it| format!("<li>{}", marked(it))).collect();
                let _ = writeln!(page, "<h2>{}</h2>\n<ul>{items}</ul>", escaped(name));
            }
        }
        for (name, acts) in self.parts() {
            let _ = writeln!(page, "<h2>{}</h2>\n<ol>", escaped(name));
            for act in acts {
                let _ = writeln!(page, "<li><h3>{}</h3>", marked(&act.title));
                for why in &act.why {
                    let _ = writeln!(page, "<p>{}</p>", marked(why));
                }
                for (label, commands) in blocks(act) {
                    let _ = writeln!(
                        page,
                        "<p class=\"label\">{label}</p>\n<pre>{}</pre>",
                        escaped(commands)
                    );
                }
            }
            page.push_str("</ol>\n");
        }
        page
    }
}

const STYLE: &str = "body{max-width:52rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}\
pre{background:#f4f4f4;border:1px solid #ddd;border-radius:4px;padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}\
h3{margin-bottom:.2rem}p{margin:.3rem 0}.label{color:#555;font-size:.85rem;margin-top:.6rem}\
@media (prefers-color-scheme:dark){body{background:#111;color:#ddd}pre{background:#1c1c1c;border-color:#333}.label{color:#aaa}}";

/// The blocks of commands of a step, with what they are.
fn blocks(act: &Act) -> impl Iterator<Item = (&'static str, &str)> {
    let blocks = [("Run", act.run.as_str()), ("Check", act.check.as_str())];
    blocks.into_iter().filter(|(_, commands)| !commands.is_empty())
}

fn list(page: &mut String, name: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(page, "{name}:\n");
    for item in items {
        let _ = writeln!(page, "- {item}");
    }
    page.push('\n');
}

/// A fence that no line of the commands is.
fn fence(commands: &str) -> String {
    let longest =
        commands.lines().map(|line| line.chars().take_while(|it| *it == '`').count()).max();
    "`".repeat(longest.unwrap_or(0).max(2) + 1)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A sentence with its `code`.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(
            |(index, it)| {
                if index % 2 == 1 { format!("<code>{}</code>", escaped(it)) } else { escaped(it) }
            },
        )
        .collect()
}
