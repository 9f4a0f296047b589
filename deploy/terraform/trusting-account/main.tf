# One role for Hallpass to assume: a module for those who keep their own Terraform, with `for_each` for several roles.
# What fits your allowlist exactly is printed by `hallpass template trust --format terraform`.

terraform {
  required_version = ">= 1.2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

resource "aws_iam_role" "hallpass" {
  name                 = var.role_name
  path                 = var.role_path
  description          = var.role_description
  max_session_duration = var.max_session_duration

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { AWS = var.broker_arn }
        Action    = ["sts:AssumeRole"]
        Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
      },
      {
        Effect    = "Allow"
        Principal = { AWS = var.broker_arn }
        Action    = concat(["sts:SetSourceIdentity"], var.session_tags ? ["sts:TagSession"] : [])
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "hallpass" {
  for_each = toset(var.policy_arns)

  role       = aws_iam_role.hallpass.name
  policy_arn = each.value
}

output "role_arn" {
  description = "The role's ARN."
  value       = aws_iam_role.hallpass.arn
}
