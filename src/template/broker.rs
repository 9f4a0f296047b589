//! What the broker's own role may do: assume the listed roles, and nothing else.

use super::{Format, Printed, TemplateError, json};
use crate::{
    allowlist::AllowlistFile,
    model::{Partition, Role},
};
use askama::Template;
use serde::Serialize;
use std::collections::BTreeMap;

/// IAM's limit for a managed policy, white space not counted.
const LONGEST_POLICY: usize = 6144;
/// IAM's default quota of policies for a role.
const MOST_POLICIES: usize = 10;

/// Writes the policies of the broker's own role, for all roles of the allowlist.
pub fn broker(allowlist: &AllowlistFile, partition: &Partition, format: Format) -> Result<Printed, TemplateError> {
    if allowlist.roles.is_empty() {
        return Err(TemplateError::NoRoles(String::new()));
    }
    if format == Format::CloudFormation
        && let Some(role) = allowlist.roles.iter().find(|role| role.path.as_str().contains("{{"))
    {
        return Err(TemplateError::Resolved(role.name.clone()));
    }
    let policies = split(&allowlist.roles, partition)?;
    let mut warnings = Vec::new();
    if policies.len() > MOST_POLICIES {
        warnings.push(format!(
            "{} policies, and IAM attaches {MOST_POLICIES} to a role until the quota is raised, to 20 at most",
            policies.len()
        ));
    }
    let text = match format {
        Format::CloudFormation => CloudFormation { policies, notes: &warnings }.render()?,
        Format::Terraform => Terraform { policies, notes: &warnings }.render()?,
        Format::Json => json(&Json { policies })?,
    };
    Ok(Printed { text, warnings })
}

#[derive(Serialize)]
struct Policy {
    #[serde(skip)]
    number: usize,
    #[serde(rename = "PolicyName")]
    name: String,
    #[serde(rename = "PolicyDocument")]
    document: Document,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
}

/// Each role stands in one statement, with those that need the same actions; as many policies as it takes.
fn split(roles: &[Role], partition: &Partition) -> Result<Vec<Policy>, TemplateError> {
    let mut by_actions: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
    for role in roles {
        by_actions.entry(actions(role)).or_default().push(resource(role, partition));
    }
    let mut documents: Vec<Document> = Vec::new();
    let mut length = LONGEST_POLICY;
    for (action, resources) in by_actions {
        let mut statement = Statement { effect: "Allow", action, resource: Vec::new() };
        let opening = serde_json::to_string(&statement)?.len() + 1;
        let mut open = false;
        for resource in resources {
            let more = resource.len() + r#""","#.len();
            if length + more + if open { 0 } else { opening } > LONGEST_POLICY {
                close(&mut statement, &mut documents);
                documents.push(Document { version: "2012-10-17", statement: Vec::new() });
                length = r#"{"Version":"2012-10-17","Statement":[]}"#.len();
                open = false;
            }
            length += more + if open { 0 } else { opening };
            open = true;
            statement.resource.push(resource);
        }
        close(&mut statement, &mut documents);
    }
    let numbered = (1..).zip(documents).map(|(number, document)| Policy {
        number,
        name: format!("hallpass-assume-roles-{number}"),
        document,
    });
    Ok(numbered.collect())
}

/// Puts what the statement has so far into the last document, and leaves it empty.
fn close(statement: &mut Statement, documents: &mut [Document]) {
    if let (Some(document), false) = (documents.last_mut(), statement.resource.is_empty()) {
        let resource = std::mem::take(&mut statement.resource);
        document.statement.push(Statement { effect: statement.effect, action: statement.action.clone(), resource });
    }
}

fn actions(role: &Role) -> Vec<&'static str> {
    let mut actions = vec!["sts:AssumeRole"];
    actions.extend(role.source_identity.then_some("sts:SetSourceIdentity"));
    actions.extend((!role.session_tags.is_empty()).then_some("sts:TagSession"));
    actions
}

/// The ARN, in which a path's `${…}` would be a policy variable: `${$}` is IAM's word for a dollar sign.
fn resource(role: &Role, partition: &Partition) -> String {
    role.arn(partition).to_string().replace("${", "${$}{")
}

#[derive(Template)]
#[template(path = "broker.yaml", config = "src/template/askama.toml")]
struct CloudFormation<'a> {
    policies: Vec<Policy>,
    notes: &'a [String],
}

#[derive(Template)]
#[template(path = "broker.tf", config = "src/template/askama.toml")]
struct Terraform<'a> {
    policies: Vec<Policy>,
    notes: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    policies: Vec<Policy>,
}
