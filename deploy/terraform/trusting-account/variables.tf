variable "role_name" {
  description = "The role's name, as the allowlist has it."
  type        = string
}

variable "role_path" {
  description = "The role's path, as the allowlist has it."
  type        = string
  default     = "/"
}

variable "role_description" {
  description = "What the role is for."
  type        = string
  default     = "Assumed by Hallpass"
}

variable "broker_arn" {
  description = "The role that Hallpass runs as: its ARN; the role must be there already."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z0-9-]*:iam::[0-9]{12}:(role|user)/[^*?]+$", var.broker_arn))
    error_message = "Give the ARN of the broker's role, such as arn:aws:iam::111122223333:role/hallpass."
  }
}

variable "external_id" {
  description = "The external_id that the allowlist has for this account: long, random, of this account alone."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@:/-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "An external ID has 2 to 1224 letters, digits and _+=,.@:/- alone."
  }
}

variable "max_session_duration" {
  description = "The longest session in seconds; a broker that is a role itself gets 3600 at most."
  type        = number
  default     = 3600
}

variable "session_tags" {
  description = "Whether the allowlist has session_tags for this role."
  type        = bool
  default     = false
}

# WARNING: with AdministratorAccess whoever is granted this role can do everything in the account.
variable "policy_arns" {
  description = "What the role may do: ARNs of managed policies."
  type        = list(string)
}
