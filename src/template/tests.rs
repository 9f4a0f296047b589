use super::*;
use crate::{
    allowlist::AllowlistFile,
    model::{AccountRef, ExternalId, Name, Partition, Principal, RolePath, Time},
};
use hcl::eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const BROKER: &str = "arn:aws:iam::111122223333:role/hallpass";
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

/// Policies by role.
type Given<'a> = &'a [(&'a str, &'a str)];

fn aws() -> Partition {
    Partition::parse("aws").unwrap()
}

fn read(text: &str, partition: &Partition) -> AllowlistFile {
    let by = Principal::Local(Name::parse("test").unwrap());
    AllowlistFile::parse(text, partition, &by, Time::from_seconds(0).unwrap()).unwrap()
}

fn policies(given: &[(&str, &str)]) -> BTreeMap<RoleName, Vec<PolicyArn>> {
    let mut policies: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (role, policy) in given {
        policies.entry(RoleName::parse(role).unwrap()).or_default().push(PolicyArn::parse(policy).unwrap());
    }
    policies
}

fn trust_of(
    allowlist: &str,
    account: Option<&str>,
    broker: &str,
    given: &[(&str, &str)],
    format: Format,
) -> Result<Printed, TemplateError> {
    let (account, broker) = (account.map(|name| AccountRef::parse(name).unwrap()), BrokerArn::parse(broker).unwrap());
    let ask = Trust { account: account.as_ref(), broker: &broker, policies: &policies(given) };
    trust(&read(allowlist, broker.partition()), &ask, format)
}

/// A file of deploy/.
macro_rules! example {
    ($name:literal) => {
        include_str!(concat!("../../deploy/", $name))
    };
}

/// Evaluates Terraform as far as these templates go, and gives the roles and policies as IAM's API has them.
fn evaluated(text: &str, variables: &Value) -> Value {
    let mut context = Context::new();
    context.declare_var("var", hcl::to_value(variables).unwrap());
    let one = || FuncDef::builder().param(ParamType::Any);
    let encode = |args: FuncArgs| Ok(hcl::Value::String(serde_json::to_string(&args[0]).map_err(|e| e.to_string())?));
    context.declare_func("jsonencode", one().build(encode));
    context.declare_func("toset", one().build(|args| Ok(args[0].clone())));
    let concat =
        |args: FuncArgs| Ok(args.iter().flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect());
    context.declare_func("concat", FuncDef::builder().variadic_param(ParamType::Any).build(concat));

    let body = hcl::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (mut roles, mut policies, mut attached) = (Vec::new(), Vec::new(), Vec::new());
    for block in body.blocks().filter(|block| block.identifier() == "resource") {
        let value = |name: &str| {
            let attribute = block.body().attributes().find(|attribute| attribute.key() == name);
            attribute.map(|attribute| serde_json::to_value(attribute.expr().evaluate(&context).unwrap()).unwrap())
        };
        let document = |name| serde_json::from_str::<Value>(value(name).unwrap().as_str().unwrap()).unwrap();
        match block.labels()[0].as_str() {
            "aws_iam_role" => {
                let mut role = json!({
                    "RoleName": value("name"), "Path": value("path"), "MaxSessionDuration": value("max_session_duration"),
                    "AssumeRolePolicyDocument": document("assume_role_policy"),
                });
                if let Some(description) = value("description") {
                    role["Description"] = description;
                }
                roles.push(role);
            }
            "aws_iam_policy" => {
                policies.push(json!({"PolicyName": value("name"), "PolicyDocument": document("policy")}));
            }
            _ => attached.push(value("for_each")),
        }
    }
    for (role, attached) in roles.iter_mut().zip(attached) {
        role["ManagedPolicyArns"] = attached.unwrap();
    }
    if roles.is_empty() { json!({"Policies": policies}) } else { json!({"Roles": roles}) }
}

fn parsed(printed: &Printed) -> Value {
    serde_json::from_str(&printed.text).unwrap()
}

#[test]
fn what_lies_in_deploy_is_what_is_printed() {
    let allowlist = example!("json/allowlist.toml");
    let given = [("ReadOnly", READ_ONLY)];
    let trusting = trust_of(allowlist, None, BROKER, &given, Format::Json).unwrap();
    assert_eq!(example!("json/trusting-account.json"), trusting.text, "print it anew, as allowlist.toml says");
    let own = broker(&read(allowlist, &aws()), &aws(), Format::Json).unwrap();
    assert_eq!(example!("json/broker.json"), own.text, "print it anew, as allowlist.toml says");

    let variables = json!({
        "role_name": "ReadOnly", "role_path": "/hallpass/", "role_description": "Look, don't touch",
        "max_session_duration": 14_400, "broker_arn": BROKER, "external_id": "hp-replace-me", "session_tags": true,
        "policy_arns": [READ_ONLY],
    });
    assert_eq!(
        evaluated(example!("terraform/trusting-account/main.tf"), &variables)["Roles"],
        parsed(&trusting)["Roles"]
    );
    let role = "arn:aws:iam::444455556666:role/hallpass/ReadOnly";
    let module = evaluated(example!("terraform/broker/main.tf"), &json!({"role_arns": [role], "session_tags": true}));
    assert_eq!(module["Policies"][0]["PolicyDocument"], parsed(&own)["Policies"][0]["PolicyDocument"]);
}

#[test]
fn every_format_says_what_the_others_say() {
    let allowlist = example!("json/allowlist.toml");
    let printed = |given, format| trust_of(allowlist, Some("prod"), BROKER, given, format).unwrap();
    let given: &[_] = &[("ReadOnly", READ_ONLY)];
    let expected = parsed(&printed(given, Format::Json))["Roles"].clone();
    assert_eq!(evaluated(&printed(given, Format::Terraform).text, &json!({}))["Roles"], expected);
    let asked = evaluated(&printed(&[], Format::Terraform).text, &json!({"ReadOnly_policies": [READ_ONLY]}));
    assert_eq!(asked["Roles"], expected, "a role without policies asks for them");
    let yaml = printed(&[], Format::CloudFormation).text;
    assert!(yaml.contains("  PoliciesOfReadOnly:\n    Type: CommaDelimitedList\n"), "{yaml}");
    assert!(yaml.contains("ManagedPolicyArns: !Ref PoliciesOfReadOnly\n"), "{yaml}");
}

#[test]
fn a_trust_policy_lets_in_whom_the_allowlist_means() {
    let policy = |of_account: &str, of_role: &str| {
        let text = format!("[[account]]\nid = '444455556666'\n{of_account}\n[[account.role]]\nname = 'R'\n{of_role}");
        let role = parsed(&trust_of(&text, None, BROKER, &[], Format::Json).unwrap())["Roles"][0].clone();
        (role["MaxSessionDuration"].clone(), role["AssumeRolePolicyDocument"]["Statement"].clone())
    };
    let statement = |action: &[&str]| json!({"Effect": "Allow", "Principal": {"AWS": BROKER}, "Action": action});
    let (seconds, both) = policy("external_id = 'hp-1'", "max_duration = '15m'");
    assert_eq!(seconds, 3600, "IAM takes no less than an hour");
    let mut assume = statement(&["sts:AssumeRole"]);
    assume["Condition"] = json!({"StringEquals": {"sts:ExternalId": "hp-1"}});
    assert_eq!(both, json!([assume, statement(&["sts:SetSourceIdentity"])]));
    let (seconds, alone) = policy("external_id = 'hp-1'", "source_identity = false\nmax_duration = '12h'");
    assert_eq!((seconds, alone), (json!(43_200), json!([assume])));
    let (_, tagged) = policy("", "source_identity = false\nsession_tags = { team = 'shop' }");
    assert_eq!(tagged, json!([statement(&["sts:AssumeRole", "sts:TagSession"])]));
}

#[test]
fn what_cannot_be_right_is_refused() {
    let account = |id: &str, rest: &str| format!("[[account]]\nid = '{id}'\n{rest}\n");
    let role = |name: &str| format!("[[account.role]]\nname = '{name}'\n");
    let one = account("444455556666", "alias = 'prod'") + &role("R");
    let two = one.clone() + &account("777788889999", "alias = 'dev'");
    let long = account("444455556666", &format!("external_id = '{}'", "x".repeat(1224))) + &role("R");
    let far = format!("arn:aws:iam::111122223333:role/{}/hallpass", "p".repeat(500));
    let resolved = one.clone() + "path = '/{{resolve:ssm:x}}/'";
    let many: Vec<String> = (0..11).map(|number| format!("arn:aws:iam::aws:policy/P{number}")).collect();
    let many: Vec<_> = many.iter().map(|policy| ("R", policy.as_str())).collect();
    let foreign = [("R", "arn:aws-cn:iam::aws:policy/ReadOnlyAccess")];
    let cases: [(&str, Option<&str>, &str, Given<'_>, &str); 9] = [
        ("", None, BROKER, &[], "the allowlist lists no role: add one first"),
        (&two, None, BROKER, &[], "a trust template is for one account: name one of prod, dev"),
        (&two, Some("test"), BROKER, &[], "the allowlist has no account test; it has prod, dev"),
        (&two, Some("777788889999"), BROKER, &[], "the allowlist lists no role of dev: add one first"),
        (&one, None, BROKER, &[("S", READ_ONLY)], "policies are given for S, and the account lists no such role"),
        (&one, None, BROKER, &foreign, "arn:aws-cn:iam::aws:policy/ReadOnlyAccess cannot be attached to R: "),
        (&one, None, BROKER, &many, "11 policies for R: IAM attaches at most 10 to a role"),
        (&long, None, &far, &[], "the trust policy of R has 2"),
        (&resolved, None, BROKER, &[], "the path of R holds `{{`"),
    ];
    for (allowlist, account, broker, given, expected) in cases {
        let error = trust_of(allowlist, account, broker, given, Format::CloudFormation).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = broker(&read(&resolved, &aws()), &aws(), Format::CloudFormation).unwrap_err().to_string();
    assert!(error.starts_with("the path of R holds `{{`"), "{error}");
}

#[test]
fn what_to_look_at_twice_is_said_in_the_template_too() {
    let allowlist = "[[account]]\nid = '444455556666'\n[[account.role]]\nname = 'Root'\nmax_duration = '12h'\n\
                     description = 'Everything, {{resolve:ssm:x}} ☂'\n[[account.role]]\nname = 'Idle'";
    let administrator = [("Root", "arn:aws:iam::aws:policy/AdministratorAccess")];
    let session = "arn:aws:sts::111122223333:assumed-role/hallpass/i-0123";
    let printed = |format| trust_of(allowlist, None, session, &administrator, format).unwrap();
    let Printed { text, warnings } = printed(Format::CloudFormation);
    insta::assert_snapshot!(warnings.join("\n"), @"
    AWS tells the role behind a session without its path: if arn:aws:iam::111122223333:role/hallpass has one, give its whole ARN by --broker, for a principal that does not exist is refused
    444455556666 has no external_id in the allowlist: with one, nobody else's use of the broker's role reaches this account by mistake
    444455556666/Root: AdministratorAccess: whoever is granted this role can do everything in the account, to CloudTrail too; give a narrower policy where one will do
    444455556666/Root: lasts up to 43200 s, but a broker that is a role itself gets 3600 s at most (role chaining)
    444455556666/Root: IAM cannot hold its description as it is; what it cannot is replaced by `?`, or cut
    444455556666/Idle: no policy is attached, so its sessions may do nothing: give some by --policy, or where the template asks for them
    ");
    assert_eq!(printed(Format::Terraform).warnings, warnings);
    assert!(text.contains(r#"Description: "Everything, {?resolve:ssm:x}} ?""#), "{text}");
    for format in [Format::CloudFormation, Format::Terraform] {
        let text = printed(format).text;
        for warning in &warnings {
            let comment = warning.strip_prefix("444455556666/Root: ").or(warning.strip_prefix("444455556666/Idle: "));
            let comment = format!("# WARNING: {}.\n", comment.unwrap_or(warning));
            assert!(text.contains(&comment), "{comment} in {text}");
        }
    }
}

#[test]
fn the_broker_may_assume_the_listed_roles_and_no_more() {
    let partition = Partition::parse("aws-us-gov").unwrap();
    let flags = ["", "source_identity = false", "session_tags = { a = 'b' }"];
    let role = |n: usize| format!("[[account.role]]\nname = 'Role{n}'\npath = '/teams/shop/'\n{}\n", flags[n % 3]);
    let text = "[[account]]\nid = '444455556666'\n".to_owned() + &(0..400).map(role).collect::<String>();
    let printed = broker(&read(&text, &partition), &partition, Format::Json).unwrap();
    let mut seen = BTreeMap::new();
    for policy in parsed(&printed)["Policies"].as_array().unwrap() {
        let document = &policy["PolicyDocument"];
        let length = document.to_string().len();
        assert!(length <= 6144, "{length}");
        for statement in document["Statement"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().unwrap() {
                let known = seen.insert(resource.as_str().unwrap().to_owned(), statement["Action"].to_string());
                assert_eq!(known, None, "{resource} twice");
            }
        }
    }
    assert_eq!(seen.len(), 400);
    let actions = |name: &str| &seen[&format!("arn:aws-us-gov:iam::444455556666:role/teams/shop/{name}")];
    assert_eq!(actions("Role0"), r#"["sts:AssumeRole","sts:SetSourceIdentity"]"#);
    assert_eq!(actions("Role1"), r#"["sts:AssumeRole"]"#);
    assert_eq!(actions("Role398"), r#"["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]"#);

    let many = "[[account]]\nid = '444455556666'\n".to_owned() + &(0..1200).map(role).collect::<String>();
    let warnings = broker(&read(&many, &partition), &partition, Format::Json).unwrap().warnings;
    assert!(warnings[0].contains("IAM attaches 10 to a role"), "{warnings:?}");
}

#[test]
fn a_path_is_no_policy_variable() {
    let text = "[[account]]\nid = '444455556666'\n[[account.role]]\nname = 'R'\npath = '/${aws:username}/'";
    let own = |format| broker(&read(text, &aws()), &aws(), format).unwrap();
    let policies = parsed(&own(Format::Json))["Policies"].clone();
    let resource = &policies[0]["PolicyDocument"]["Statement"][0]["Resource"][0];
    assert_eq!(resource, "arn:aws:iam::444455556666:role/${$}{aws:username}/R");
    assert_eq!(evaluated(&own(Format::Terraform).text, &json!({}))["Policies"], policies);
}

#[test]
fn roles_that_differ_by_signs_alone_are_two() {
    let role = |name: &str| format!("[[account.role]]\nname = '{name}'\n");
    let names = ["a-b", "a.b", "abx2", "1", "=", "-"];
    let text = "[[account]]\nid = '444455556666'\n".to_owned() + &names.map(role).concat();
    let printed = trust_of(&text, None, BROKER, &[], Format::CloudFormation).unwrap().text;
    let resources: Vec<_> = printed.lines().filter(|line| line.starts_with("  Role")).collect();
    assert_eq!(resources.iter().collect::<BTreeSet<_>>().len(), names.len(), "{resources:?}");
    let well_formed = |line: &&str| line.trim_end_matches(':').trim().chars().all(|c| c.is_ascii_alphanumeric());
    assert!(resources.iter().all(well_formed), "{resources:?}");
}

proptest! {
    #[test]
    fn no_text_gets_out_of_its_quotes(
        description in r#"([ -~é日\u{85}\u{2028}☂"\\$%{}#\n]|\$\{|%\{|\{\{|"""){1,60}"#,
        external_id in "[A-Za-z0-9_+=,.@:/-]{2,40}",
        path in r"/([!-)+->@-~]{1,20}/)?",
        name in "[A-Za-z0-9_+=,.@-]{1,64}",
    ) {
        let mut allowlist = read("[[account]]\nid = '444455556666'\n[[account.role]]\nname = 'R'", &aws());
        allowlist.accounts[0].external_id = Some(ExternalId::parse(&external_id).unwrap());
        allowlist.roles[0].description = Some(description);
        allowlist.roles[0].name = RoleName::parse(&name).unwrap();
        let Ok(path) = RolePath::parse(&path) else { return Ok(()) };
        allowlist.roles[0].path = path;
        let (broker_arn, given) = (BrokerArn::parse(BROKER).unwrap(), policies(&[(&name, READ_ONLY)]));
        let ask = Trust { account: None, broker: &broker_arn, policies: &given };
        let expected = parsed(&trust(&allowlist, &ask, Format::Json).unwrap());
        let terraform = trust(&allowlist, &ask, Format::Terraform).unwrap().text;
        prop_assert_eq!(&evaluated(&terraform, &json!({}))["Roles"], &expected["Roles"]);
        let own = parsed(&broker(&allowlist, &aws(), Format::Json).unwrap());
        let terraform = broker(&allowlist, &aws(), Format::Terraform).unwrap().text;
        prop_assert_eq!(&evaluated(&terraform, &json!({}))["Policies"], &own["Policies"]);
    }
}
