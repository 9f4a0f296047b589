# Roles for Hallpass to assume in account {{ account }}: apply it there.
# Printed by `hallpass template trust`: print it anew when the allowlist changes.
{%- for note in notes %}
# WARNING: {{ note }}.
{%- endfor %}

terraform {
  required_version = ">= 1.2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

data "aws_caller_identity" "current" {
  lifecycle {
    postcondition {
      condition     = self.account_id == "{{ id }}"
      error_message = "These roles are for account {{ id }}."
    }
  }
}
{%- for role in roles %}
{% for note in role.notes %}
# WARNING: {{ note }}.
{%- endfor %}
resource "aws_iam_role" "{{ role.id }}" {
  name                 = "{{ role.name }}"
  path                 = "{{ role.path }}"
{%- if let Some(description) = role.description %}
  description          = "{{ description }}"
{%- endif %}
  max_session_duration = {{ role.seconds }}

  assume_role_policy = jsonencode({
    Version = "{{ role.trust.version }}"
    Statement = [
{%- for statement in role.trust.statement %}
      {
        Effect    = "{{ statement.effect }}"
        Principal = { AWS = "{{ statement.principal.aws }}" }
        Action    = [{% for action in statement.action %}{% if !loop.first %}, {% endif %}"{{ action }}"{% endfor %}]
{%- if let Some(condition) = statement.condition %}
        Condition = { StringEquals = { "sts:ExternalId" = "{{ condition.string_equals.external_id }}" } }
{%- endif %}
      },
{%- endfor %}
    ]
  })
}
{% if role.policies.is_empty() %}
variable "{{ role.id }}_policies" {
  description = "What {{ role.name }} may do: ARNs of managed policies."
  type        = list(string)
}
{% endif %}
resource "aws_iam_role_policy_attachment" "{{ role.id }}" {
{%- if role.policies.is_empty() %}
  for_each = toset(var.{{ role.id }}_policies)
{%- else %}
  for_each = toset([
{%- for policy in role.policies %}
    "{{ policy }}",
{%- endfor %}
  ])
{%- endif %}

  role       = aws_iam_role.{{ role.id }}.name
  policy_arn = each.value
}
{%- endfor %}

