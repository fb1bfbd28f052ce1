//! From the text of a recipe to a [`Recipe`], or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use miette::NamedSource;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ini::{self, IniValue};
use super::mistake::{Mistake, Mistakes, Refusal, choice};
use super::name::{BaseName, ExtensionName, LayerName};
use super::php_version::PhpVersion;
use super::size::ByteSize;
use super::syntax;
use super::table::{Table, wrong_type};
use super::{Engine, Limits, Publish, Recipe, Sapi, Sapis, Vendor, Waiver};
use crate::target::Arch;

/// Reads `text`; `name` is the file's path as the user knows it. Every mistake of the file is reported, not the first.
pub fn parse(name: &str, text: &str) -> Result<Recipe, Mistakes> {
    let (file, errors) = DeTable::parse_recoverable(text);
    let mut notes = Vec::new();
    let recipe = read(name, text, &file, &mut notes);
    syntax::judge(text, &errors, &mut notes);
    match recipe {
        Some(recipe) if notes.is_empty() => Ok(recipe),
        _ => Err(Mistakes::in_source(NamedSource::new(name, Arc::from(text)), notes)),
    }
}

/// `None` only where a mistake was noted.
fn read(name: &str, text: &str, file: &Spanned<DeTable<'_>>, notes: &mut Vec<Mistake>) -> Option<Recipe> {
    let mut root = Table::root(file);
    let layer = root.required("name", "\"my-layer\"", notes, LayerName::from_str);
    let php = root.required("php", "\"8.4\"", notes, PhpVersion::from_str);
    let base = root.text("base", notes, BaseName::from_str);
    let arch = root.texts("arch", notes, architecture);
    let engine = root.text("engine", notes, choice("engine", &Engine::ALL, Engine::name));
    let sapi = sapis(&mut root, notes);
    let extensions = root.texts("extensions", notes, ExtensionName::from_str);
    let shared = root.texts("shared", notes, ExtensionName::from_str);
    for extension in shared.iter().filter(|shared| extensions.iter().any(|other| other.get_ref() == shared.get_ref())) {
        notes.push(Mistake {
            message: format!("`{}` is listed twice", extension.get_ref()),
            span: extension.span(),
            label: "already in `extensions`".to_owned(),
            help: Some("keep it in `shared` to get a .so, or in `extensions` to have it linked in".to_owned()),
        });
    }
    let mut ini = BTreeMap::new();
    if let Some(table) = root.table("ini", "[ini]", notes) {
        settings(table.entries(), "", &mut ini, notes);
    }
    let limits = root.table("limits", "[limits]", notes).map(|table| limits(table, notes)).unwrap_or_default();
    let vendor = root.table("vendor", "[vendor]", notes).and_then(|table| vendor(table, notes));
    let publish = root.table("publish", "[publish]", notes).map(|table| publish(table, notes)).unwrap_or_default();
    let waive = root.tables("waive", "[[waive]]", notes).into_iter().filter_map(|table| waiver(table, notes)).collect();
    root.end(notes);
    Some(Recipe {
        file: PathBuf::from(name),
        name: layer?,
        php: php?,
        base,
        arch: arch.into_iter().map(Spanned::into_inner).collect(),
        engine: engine.map(Spanned::into_inner).unwrap_or_default(),
        sapi: sapi?,
        extensions,
        shared,
        ini,
        limits,
        vendor,
        publish,
        waive,
        source: NamedSource::new(name, Arc::from(text)),
    })
}

/// The names that Docker and GNU use lead to Lambda's.
fn architecture(text: &str) -> Result<Arch, Refusal> {
    let meant = match text {
        "aarch64" | "arm64v8" | "armv8" => Some(Arch::Arm64),
        "amd64" | "x64" | "x86-64" => Some(Arch::X86_64),
        _ => None,
    };
    choice("architecture", &Arch::ALL, Arch::name)(text).map_err(|refusal| match meant {
        Some(meant) => Refusal::new(refusal.message, format!("Lambda says `{meant}`"), format!("write `{meant}`")),
        None => refusal,
    })
}

fn sapis(root: &mut Table<'_>, notes: &mut Vec<Mistake>) -> Option<Sapis> {
    let written = root.entries().iter().find(|(key, _)| key.get_ref() == "sapi");
    let read = root.texts("sapi", notes, choice("SAPI", &Sapi::ALL, Sapi::name));
    let Some((_, value)) = written else { return Some(Sapis::default()) };
    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
        notes.push(Mistake {
            message: "`sapi` is empty".to_owned(),
            span: value.span(),
            label: "a layer without PHP in it".to_owned(),
            help: Some(
                "write \"fpm\" for web pages, \"cli\" for functions and the console, or leave `sapi` out for both"
                    .to_owned(),
            ),
        });
    }
    match read.as_slice() {
        [] => None,
        [one] => Some(Sapis::Only(*one.get_ref())),
        _ => Some(Sapis::Both),
    }
}

/// Flattens `[ini.opcache] jit = "off"`, `opcache.jit = "off"` and `"opcache.jit" = "off"` to one name.
fn settings(entries: &DeTable<'_>, prefix: &str, ini: &mut BTreeMap<String, IniValue>, notes: &mut Vec<Mistake>) {
    for (key, value) in entries {
        let name = format!("{prefix}{}", key.get_ref());
        if let DeValue::Table(deeper) = value.get_ref() {
            settings(deeper, &format!("{name}."), ini, notes);
            continue;
        }
        if let Err(refusal) = ini::check_name(&name) {
            notes.push(refusal.at(key.span()));
            continue;
        }
        let Some(setting) = setting(&name, value, notes) else { continue };
        if ini.insert(name.clone(), setting).is_some() {
            notes.push(Mistake {
                message: format!("`{name}` is set twice"),
                span: key.span(),
                label: "the same setting in another spelling".to_owned(),
                help: Some("remove one of the two".to_owned()),
            });
        }
    }
}

fn setting(name: &str, value: &Spanned<DeValue<'_>>, notes: &mut Vec<Mistake>) -> Option<IniValue> {
    let takes = format!("`{name}` takes a text, a whole number, or true or false");
    match value.get_ref() {
        DeValue::String(text) => IniValue::text(text).map_err(|refusal| notes.push(refusal.at(value.span()))).ok(),
        DeValue::Boolean(flag) => Some(IniValue::from(*flag)),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(IniValue::from(number)),
            Err(_) => {
                let help = "PHP counts in 64 bits; put it in quotes to have it written as it is".to_owned();
                notes.push(Mistake {
                    message: format!("`{name}` is too large"),
                    span: value.span(),
                    label: "beyond 64 bits".to_owned(),
                    help: Some(help),
                });
                None
            }
        },
        DeValue::Float(number) => {
            let help = format!("put it in quotes: \"{number}\"");
            notes.push(wrong_type(&takes, value, Some(help)));
            None
        }
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            notes.push(wrong_type(&takes, value, None));
            None
        }
    }
}

fn limits(mut table: Table<'_>, notes: &mut Vec<Mistake>) -> Limits {
    let unzipped = table.text("unzipped", notes, ByteSize::from_str).map(Spanned::into_inner);
    table.end(notes);
    Limits { unzipped }
}

fn vendor(mut table: Table<'_>, notes: &mut Vec<Mistake>) -> Option<Vendor> {
    let project = table.required("project", "\"../app\", the folder with composer.json", notes, |text| {
        let help = "write the folder with composer.json, seen from the recipe; `.` is the recipe's own".to_owned();
        filled("`project`", help)(text).map(PathBuf::from)
    });
    let dev = table.flag("dev", notes).unwrap_or(false);
    table.end(notes);
    Some(Vendor { project: project?.into_inner(), dev })
}

fn publish(mut table: Table<'_>, notes: &mut Vec<Mistake>) -> Publish {
    let regions = table.texts("regions", notes, region).into_iter().map(Spanned::into_inner).collect();
    let description = table.text("description", notes, at_most("description", 256)).map(Spanned::into_inner);
    let license = table.text("license", notes, at_most("license", 512)).map(Spanned::into_inner);
    let public = table.flag("public", notes).unwrap_or(false);
    table.end(notes);
    Publish { regions, description, license, public }
}

fn waiver(mut table: Table<'_>, notes: &mut Vec<Mistake>) -> Option<Waiver> {
    let rule = table.required("rule", "\"…\", as `phplayer audit` names it", notes, |text| {
        filled("`rule`", "write the rule as `phplayer audit` names it".to_owned())(text)
    });
    let file = table.text("file", notes, |text| Ok::<_, Refusal>(text.to_owned()));
    let reason = table.required("reason", "\"why this is safe here\"", notes, |text| {
        filled("`reason`", "say why this is safe here: the audit's report repeats it".to_owned())(text)
    });
    table.end(notes);
    Some(Waiver { rule: rule?.into_inner(), file: file.map(Spanned::into_inner), reason: reason?.into_inner() })
}

fn filled(what: &'static str, help: String) -> impl Fn(&str) -> Result<String, Refusal> {
    move |text| match text.trim() {
        "" => Err(Refusal::new(format!("{what} is empty"), "nothing in it", help.clone())),
        _ => Ok(text.to_owned()),
    }
}

/// AWS counts characters and refuses the whole call.
fn at_most(key: &'static str, limit: usize) -> impl Fn(&str) -> Result<String, Refusal> {
    move |text| match text.chars().count() {
        count if count > limit => {
            let help = format!("shorten it by {} characters", count - limit);
            Err(Refusal::new(
                format!("`{key}` is longer than the {limit} characters AWS takes"),
                format!("{count} characters"),
                help,
            ))
        }
        _ => Ok(text.to_owned()),
    }
}

/// The form of a region's name in every partition, such as `eu-west-1` and `us-gov-west-1`; which ones exist AWS says.
fn region(text: &str) -> Result<String, Refusal> {
    let parts: Vec<_> = text.split('-').collect();
    let well_formed = match parts.as_slice() {
        [area @ .., number] if area.len() >= 2 => {
            area.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()))
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    if well_formed {
        return Ok(text.to_owned());
    }
    let help = "regions are written like `eu-west-1`".to_owned();
    Err(Refusal::new(format!("`{text}` is not the name of a region"), "not a region", help))
}
