# What identity has beside terraform_test.go and terraform_whole_test.go: every other resource and data source of the provider
# that works here. WORD_CHANGES stands where a second apply says something else.
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  access_key            = "ACCESS_KEY"
  secret_key            = "SECRET_KEY"
  domain_id             = "DOMAIN_ID"
  project_id            = "PROJECT_ID"
  auth_url              = "CLOUD_URL/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam = "CLOUD_URL/iam/"
    eps = "CLOUD_URL/eps/"
    tms = "CLOUD_URL/tms/"
    sts = "CLOUD_URL/sts/"
  }
}
resource "huaweicloud_identityv5_user" "alice" {
  name = "alice"
}
resource "huaweicloud_identityv5_group" "crew" {
  group_name = "crew"
}
resource "huaweicloud_identity_user" "bob" {
  name     = "bob"
  password = "correct-Horse-7"
}
resource "huaweicloud_identity_role" "look" {
  name        = "look"
  description = "eyes"
  type        = "XA"
  policy      = jsonencode({ Version = "1.1", Statement = [{ Effect = "Allow", Action = ["app:*:get", "app:*:list"] }] })
}
resource "huaweicloud_identity_access_key" "k" {
  user_id     = huaweicloud_identity_user.bob.id
  secret_file = "secret.csv"
}
resource "huaweicloud_enterprise_project" "retail" {
  name        = "retail"
  delete_flag = true
}
resource "huaweicloud_identity_password_policy" "p" {
  minimum_password_length               = 11
  number_of_recent_passwords_disallowed = 2
}
resource "huaweicloud_identity_agency" "a" {
  name                   = "agent"
  delegated_service_name = "op_svc_ecs"
  domain_roles           = ["auditor"]
}
resource "huaweicloud_identity_service_agency" "s" {
  name                   = "gw"
  delegated_service_name = "service.OBS"
  policy_names           = ["read-only"]
}
resource "huaweicloud_identityv5_policy" "look" {
  name            = "looker"
  policy_document = jsonencode({ Version = "5.0", Statement = [{ Effect = "Allow", Action = ["app:*:get"] }] })
}
resource "huaweicloud_identityv5_policy_default_version" "look" {
  policy_id  = huaweicloud_identityv5_policy.look.id
  version_id = "v1"
}
resource "huaweicloud_identityv5_virtual_mfa_device" "m" {
  name    = "phone"
  user_id = huaweicloud_identityv5_user.alice.id
}
resource "huaweicloud_identityv5_service_linked_agency" "l" {
  service_principal = "service.OBS"
  description       = "linked"
}
resource "huaweicloud_identity_user_token" "t" {
  account_name = "awan"
  user_name    = "admin"
  password     = "ADMIN_PASSWORD"
}

resource "huaweicloud_identity_protection_policy" "p" {
  protection_enabled = true
  self_management {
    access_key = true
    password   = true
    email      = true
    mobile     = true
  }
}
resource "huaweicloud_identityv5_asymmetric_signature_switch" "s" {
  asymmetric_signature_switch = false
}
resource "huaweicloud_identity_user_info" "admin" {
  email  = "admin@example.org"
  mobile = "0086-123456789"
}
resource "huaweicloud_identity_provider" "oidc" {
  name        = "corp"
  protocol    = "oidc"
  description = "WORD_CHANGES"
  access_config {
    access_type            = "program_console"
    provider_url           = "https://accounts.example.com"
    client_id              = "awan"
    authorization_endpoint = "https://accounts.example.com/o/oauth2/v2/auth"
    scopes                 = ["openid", "email"]
    signing_key            = jsonencode({ keys = [{ alg = "RS256", e = "AQAB", kid = "k1", kty = "RSA", n = "u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw", use = "sig" }] })
  }
}
resource "huaweicloud_identity_provider" "bare" {
  name = "bare"
  lifecycle {
    ignore_changes = [protocol]
  }
}
resource "huaweicloud_identity_provider_conversion" "bare" {
  provider_id = huaweicloud_identity_provider.bare.id
  conversion_rules {
    local {
      username = "Tom"
    }
    remote {
      attribute = "Tom"
    }
  }
  conversion_rules {
    local {
      username = "FederationUser"
    }
    remote {
      attribute = "username"
      condition = "any_one_of"
      value     = ["Tom", "Jerry"]
    }
  }
}
resource "huaweicloud_identity_provider_protocol" "bare" {
  provider_id = huaweicloud_identity_provider.bare.id
  protocol_id = "saml"
  mapping_id  = huaweicloud_identity_provider_conversion.bare.id
}
data "huaweicloud_identity_provider_protocols" "x" {
  provider_id = huaweicloud_identity_provider.oidc.id
}
data "huaweicloud_identityv5_service_principals" "x" {}
data "huaweicloud_enterprise_project_configs" "x" {}
resource "huaweicloud_identityv5_login_policy" "l" {
  user_validity_period       = 20
  session_timeout            = 150
  lockout_duration           = 20
  login_failed_times         = 6
  period_with_login_failures = 20
  allow_address_netmasks {
    address_netmask = "192.0.2.0/24"
    description     = "office"
  }
}
data "huaweicloud_identity_permissions" "x" {}
data "huaweicloud_identity_role" "x" {
  name = "auditor"
}
data "huaweicloud_identity_roles" "x" {}
data "huaweicloud_identity_custom_role" "x" {
  name = huaweicloud_identity_role.look.name
}
data "huaweicloud_identity_group" "x" {
  name = huaweicloud_identityv5_group.crew.group_name
}
data "huaweicloud_identity_groups" "x" {}
data "huaweicloud_identity_check_agency_role_assignment" "x" {
  agency_id = huaweicloud_identity_agency.a.id
  role_id   = data.huaweicloud_identity_role.x.id
  domain_id = "DOMAIN_ID"
}
data "huaweicloud_identity_check_agency_role_assignment" "all" {
  agency_id  = huaweicloud_identity_agency.a.id
  role_id    = data.huaweicloud_identity_role.x.id
  project_id = "all"
}
data "huaweicloud_identity_check_group_membership" "x" {
  group_id = huaweicloud_identityv5_group.crew.id
  user_id  = huaweicloud_identityv5_user.alice.id
}
data "huaweicloud_identity_check_group_role_assignment" "x" {
  group_id  = huaweicloud_identityv5_group.crew.id
  role_id   = data.huaweicloud_identity_role.x.id
  domain_id = "DOMAIN_ID"
}
data "huaweicloud_identity_check_group_role_assignment" "all" {
  group_id   = huaweicloud_identityv5_group.crew.id
  role_id    = data.huaweicloud_identity_role.x.id
  project_id = "all"
}
data "huaweicloud_identity_check_group_role_assignment" "p" {
  group_id   = huaweicloud_identityv5_group.crew.id
  role_id    = data.huaweicloud_identity_role.x.id
  project_id = "PROJECT_ID"
}
data "huaweicloud_identity_projects" "x" {}
data "huaweicloud_identity_projects" "id" {
  project_id = "PROJECT_ID"
}
data "huaweicloud_identity_auth_projects" "x" {}
data "huaweicloud_identity_user_projects" "x" {}
data "huaweicloud_identity_user_projects" "u" {
  user_id = huaweicloud_identityv5_user.alice.id
}
data "huaweicloud_identity_users" "x" {}
data "huaweicloud_identity_login_protects" "x" {}
data "huaweicloud_identity_login_protects" "u" {
  user_id = huaweicloud_identity_user.bob.id
}
data "huaweicloud_identity_agencies" "x" {}
data "huaweicloud_identity_providers" "x" {}
data "huaweicloud_identity_regions" "x" {}
data "huaweicloud_identity_domain_quota" "x" {}
data "huaweicloud_identity_project_quota" "x" {
  project_id = "PROJECT_ID"
}
data "huaweicloud_identity_user_token_info" "x" {
  token = huaweicloud_identity_user_token.t.token
}
data "huaweicloud_identity_security_compliance" "x" {}
data "huaweicloud_identity_access_key" "x" {}
data "huaweicloud_identity_access_key" "u" {
  user_id = huaweicloud_identity_user.bob.id
}
data "huaweicloud_identity_access_key" "a" {
  access_key = huaweicloud_identity_access_key.k.id
}
data "huaweicloud_identity_endpoints" "x" {}
data "huaweicloud_identity_role_assignments" "x" {}
data "huaweicloud_identity_role_assignments" "s" {
  subject = "agency"
}
data "huaweicloud_identity_services" "x" {}
data "huaweicloud_identity_enterprise_project_groups" "x" {
  enterprise_project_id = huaweicloud_enterprise_project.retail.id
}
data "huaweicloud_identity_enterprise_project_users" "x" {
  enterprise_project_id = huaweicloud_enterprise_project.retail.id
}
data "huaweicloud_identity_virtual_mfa_devices" "x" {}
data "huaweicloud_identityv5_virtual_mfa_devices" "x" {}
data "huaweicloud_identityv5_registered_services" "x" {}
data "huaweicloud_identityv5_resource_tags" "x" {
  resource_type = "user"
  resource_id   = huaweicloud_identityv5_user.alice.id
}
data "huaweicloud_identityv5_users" "x" {}
data "huaweicloud_identityv5_users" "u" {
  user_id = huaweicloud_identityv5_user.alice.id
}
data "huaweicloud_identityv5_groups" "x" {}
data "huaweicloud_identityv5_groups" "u" {
  user_id = huaweicloud_identityv5_user.alice.id
}
data "huaweicloud_identityv5_agencies" "x" {}
data "huaweicloud_identityv5_account_summary" "x" {}
data "huaweicloud_identityv5_account_feature_status" "x" {
  feature_name = "v5_console"
}
data "huaweicloud_identityv5_policies" "x" {}
data "huaweicloud_identityv5_policy_versions" "x" {
  policy_id = huaweicloud_identityv5_policy.look.id
}
data "huaweicloud_identityv5_policy_attached_entities" "x" {
  policy_id = huaweicloud_identityv5_policy.look.id
}
data "huaweicloud_identityv5_agency_attached_policies" "x" {
  agency_id = huaweicloud_identity_service_agency.s.id
}
data "huaweicloud_identityv5_group_attached_policies" "x" {
  group_id = huaweicloud_identityv5_group.crew.id
}
data "huaweicloud_identityv5_user_attached_policies" "x" {
  user_id = huaweicloud_identityv5_user.alice.id
}
data "huaweicloud_identityv5_authorization_schema" "x" {
  service_code = "identity"
}
data "huaweicloud_identityv5_access_key" "x" {
  user_id    = huaweicloud_identity_user.bob.id
  depends_on = [huaweicloud_identity_access_key.k]
}
data "huaweicloud_enterprise_project" "x" {
  name = "default"
}
data "huaweicloud_enterprise_projects" "x" {}
data "huaweicloud_enterprise_project_quotas" "x" {}
data "huaweicloud_enterprise_project_resources_mapping" "x" {}
data "huaweicloud_enterprise_project_services" "x" {}
data "huaweicloud_tms_resource_types" "x" {}
data "huaweicloud_tms_resource_instances" "x" {
  resource_types = ["bucket.bucket"]
  project_id     = "PROJECT_ID"
  tags {
    key    = "a"
    values = []
  }
}
data "huaweicloud_tms_resource_tag_keys" "x" {}
data "huaweicloud_tms_resource_tag_values" "x" {
  key = "team"
}
data "huaweicloud_tms_resource_tags" "x" {
  resource_types = "bucket.bucket"
  project_id     = "PROJECT_ID"
}
data "huaweicloud_tms_quotas" "x" {}
data "huaweicloud_tms_tags" "x" {}
data "huaweicloud_account" "x" {}
