variable "broker_role_name" {
  description = "The role that Hallpass runs as: its name, without a path."
  type        = string
}

variable "role_arns" {
  description = "The roles of the allowlist: whole ARNs without a wildcard."
  type        = list(string)

  validation {
    condition = alltrue([
      for arn in var.role_arns : can(regex("^arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/[^*?]+$", arn))
    ])
    error_message = "Each is a whole role ARN without a wildcard, such as arn:aws:iam::444455556666:role/ReadOnly."
  }
}

variable "session_tags" {
  description = "Whether the allowlist has session_tags for any of them."
  type        = bool
  default     = false
}
