# What the role that Hallpass runs as may do: assume the roles that are named here, in one managed policy (some 80 ARNs).
# For more, and to fit your allowlist exactly, use `hallpass template broker --format terraform`.

terraform {
  required_version = ">= 1.2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

resource "aws_iam_policy" "assume_roles" {
  name        = "hallpass-assume-roles"
  description = "Lets Hallpass assume the roles of its allowlist"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = concat(["sts:AssumeRole", "sts:SetSourceIdentity"], var.session_tags ? ["sts:TagSession"] : [])
        Resource = var.role_arns
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "assume_roles" {
  role       = var.broker_role_name
  policy_arn = aws_iam_policy.assume_roles.arn
}
