# What the role that Hallpass runs as may do: assume the roles of the allowlist. Apply it in the broker's own account.
# Printed by `hallpass template broker`: print it anew when the allowlist changes.
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

variable "broker_role_name" {
  description = "The role that Hallpass runs as: its name, without a path."
  type        = string
}
{%- for policy in policies %}

resource "aws_iam_policy" "assume_roles_{{ policy.number }}" {
  name        = "{{ policy.name }}"
  description = "Lets Hallpass assume the roles of its allowlist"

  policy = jsonencode({
    Version = "{{ policy.document.version }}"
    Statement = [
{%- for statement in policy.document.statement %}
      {
        Effect = "{{ statement.effect }}"
        Action = [{% for action in statement.action %}{% if !loop.first %}, {% endif %}"{{ action }}"{% endfor %}]
        Resource = [
{%- for resource in statement.resource %}
          "{{ resource }}",
{%- endfor %}
        ]
      },
{%- endfor %}
    ]
  })
}

resource "aws_iam_role_policy_attachment" "assume_roles_{{ policy.number }}" {
  role       = var.broker_role_name
  policy_arn = aws_iam_policy.assume_roles_{{ policy.number }}.arn
}
{%- endfor %}

