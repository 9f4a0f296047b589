//! How the words of `model` and `audit` look in JSON: every type that is one text or one number.

use crate::{
    allowlist::Limit,
    audit::{Hash, Kind, Signature, StreamId},
    http::api::GivenPolicy,
    model::{
        AccountId, Alias, BoundRole, GrantId, IpNet, IssuanceId, Name, Principal, Reason, RoleArn, RoleName, RolePath,
        RoleRef, SessionDuration, SessionName, SourceIdentity, Tags, Time, TokenId, TokenLifetime, UserAgent,
    },
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, RefOr,
        schema::{AdditionalProperties, KnownFormat, Schema, SchemaFormat, SchemaType, Type},
    },
};

/// `type = example, pattern or what else is known, description;`
macro_rules! words {
    ($($name:ident = $schema:expr, $example:expr, $description:literal;)+) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let mut object: Object = $schema.into();
                    object.description = Some($description.to_owned());
                    object.examples = vec![$example.into()];
                    Schema::Object(object).into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

const ARN: &str =
    "arn:(?=[a-z0-9-]{3,32}:)aws(-[a-z0-9]+)*:iam::[0-9]{12}:role/([!-)+->@-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}";
const NAME: &str = r"[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]{0,254}[^\s\x00-\x1f\x7f-\x9f])?";
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
const AN_ID: &str = "01a20bec-a124-75f8-883f-d2a45a15554e";

words! {
    AccountId = text("^[0-9]{12}$"), "111122223333", "The number of an AWS account.";
    Alias = text("^[a-z0-9][a-z0-9-]{0,62}$"), "prod", "What the allowlist calls an account.";
    RoleName = text("^[A-Za-z0-9_+=,.@-]{1,64}$"), "ReadOnly", "The name of an IAM role.";
    RolePath = text("^/([!-~]+/)?$"), "/teams/", "The path of an IAM role.";
    RoleArn = text(&format!("^{ARN}$")),
        "arn:aws:iam::111122223333:role/ReadOnly", "The ARN of a role.";
    RoleRef = text(&format!("^({ARN}|[a-z0-9][a-z0-9-]{{0,62}}/[A-Za-z0-9_+=,.@-]{{1,64}})$")),
        "prod/ReadOnly", "A role as `<alias or account id>/<role name>`, or its ARN.";
    Principal = text(&format!("^((user|group|local):|workload:[a-z0-9-]{{1,64}}/){NAME}$")),
        "user:alice@example.com",
        "`user:<name>`, `group:<name>`, `workload:<issuer>/<subject>`, or `local:<name>` for an operator at the database. \
         Names have 1 to 256 characters in Unicode NFC, none of control or format, and no spaces around them.";
    Reason = text(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$").max_length(Some(512)), "INC-42",
        "Why, in the words of who asks: not blank, in Unicode NFC, without control or format characters.";
    UserAgent = ObjectBuilder::new().schema_type(Type::String).max_length(Some(256)), "curl/8.5.0",
        "What the client says it is, cleaned.";
    SessionName = text("^[A-Za-z0-9_+=,.@-]{2,64}$"), "alice=06H0QV514HTZH21ZTAJ5M5AN9R", "The role session's name in AWS.";
    SourceIdentity = text("^[A-Za-z0-9_+=,.@-]{2,64}$"), "alice", "The source identity in AWS.";
    Name = text(&format!("^{NAME}$")), "laptop",
        "1 to 256 characters in Unicode NFC, none of control or format, and no spaces around them.";
    BoundRole = text("^[0-9]{12}/[A-Za-z0-9_+=,.@-]{1,64}$"), "111122223333/ReadOnly", "A role as `<account id>/<role name>`.";
    TokenId = text(UUID), AN_ID, "The id of an API token.";
    TokenLifetime = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(TokenLifetime::MIN.seconds()))
        .maximum(Some(TokenLifetime::MAX.seconds())), TokenLifetime::USUAL.seconds(), "How long an API token lives, in seconds.";
    GrantId = text(UUID), AN_ID, "The id of a grant or a block.";
    IssuanceId = text(UUID), AN_ID, "The id of one issuance, in the audit and in AWS's session name.";
    StreamId = text(UUID), AN_ID, "The id of a stream of the audit.";
    Hash = text("^[0-9a-f]{64}$"), "09e776bc".repeat(8), "SHA-256 in hex.";
    Signature = text("^[A-Za-z0-9+/]{86}==$"), format!("{}==", "A".repeat(86)), "Ed25519 in base64.";
    Time = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        "2027-01-01T00:00:00Z", "RFC 3339; answers have UTC.";
    IpNet = ObjectBuilder::new().schema_type(Type::String), "10.0.0.0/8", "A range of addresses, or one address.";
    SessionDuration = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(SessionDuration::MIN.seconds()))
        .maximum(Some(SessionDuration::MAX.seconds())), 3600, "How long a session lasts, in seconds.";
    Kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Kind::ALL.map(Kind::as_str))),
        "credentials.issued", "What happened.";
    Limit = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(LIMITS.map(Limit::as_str))),
        "role", "What keeps a session from being longer.";
    Tags = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::RefOr(String::schema()))),
        serde_json::json!({"team": "shop"}), "Tags, as AWS takes them.";
}

const LIMITS: [Limit; 5] = [Limit::Grant, Limit::GrantExpiry, Limit::Role, Limit::Token, Limit::RoleChaining];

/// Groups, or null.
pub(in crate::http) fn groups() -> Schema {
    let group = text(&format!("^group:{NAME}$")).examples(["group:developers"]);
    let types = SchemaType::from_iter([Type::Array, Type::Null]);
    Schema::Array(ArrayBuilder::new().schema_type(types).items(group).build())
}

/// An address, or null.
pub(in crate::http) fn address() -> Schema {
    let of = |format| ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
    let address = OneOfBuilder::new().item(of(KnownFormat::Ipv4)).item(of(KnownFormat::Ipv6));
    Schema::OneOf(address.item(ObjectBuilder::new().schema_type(Type::Null)).examples(["10.0.0.7"]).build())
}

/// A policy is checked by IAM; here it only has to have a statement, and to be short.
impl PartialSchema for GivenPolicy {
    fn schema() -> RefOr<Schema> {
        let one = ObjectBuilder::new().schema_type(Type::Object);
        let several = ArrayBuilder::new().items(Object::with_type(SchemaType::AnyValue)).min_items(Some(1));
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("Statement", OneOfBuilder::new().item(one).item(several))
            .required("Statement")
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .description(Some(
                "An IAM policy: a JSON object with a `Statement`, in at most 2048 characters without white space.",
            ))
            .examples([serde_json::json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
            ]})]);
        Schema::Object(object.build()).into()
    }
}

impl ToSchema for GivenPolicy {
    fn name() -> std::borrow::Cow<'static, str> {
        "SessionPolicy".into()
    }
}

fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern))
}
