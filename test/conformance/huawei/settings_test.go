package huawei_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	v5model "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestSecuritySettings: what an account demands of log-ins and passwords is the same by both versions.
func TestSecuritySettings(t *testing.T) {
	c := cloudtest.Start(t)
	domain := string(c.Admin.DomainID)
	cl, cl5 := client(t, c, c.Admin.AccessKey, c.Admin.SecretKey, domain), v5(t, c, c.Admin.AccessKey, c.Admin.SecretKey)

	t.Run("passwords", func(t *testing.T) {
		p := must[*model.UpdateDomainPasswordPolicyResponse](t)(cl.UpdateDomainPasswordPolicy(&model.UpdateDomainPasswordPolicyRequest{DomainId: domain,
			Body: &model.UpdateDomainPasswordPolicyRequestBody{PasswordPolicy: &model.PasswordPolicyOption{MinimumPasswordLength: ptr(int32(12)),
				NumberOfRecentPasswordsDisallowed: ptr(int32(3)), PasswordCharCombination: ptr(int32(3))}}})).PasswordPolicy
		if p.MinimumPasswordLength != 12 || p.NumberOfRecentPasswordsDisallowed != 3 || p.PasswordCharCombination != 3 || !p.PasswordNotUsernameOrInvert {
			t.Errorf("changed: %v", p)
		}
		p5 := must[*v5model.ShowPasswordPolicyV5Response](t)(cl5.ShowPasswordPolicyV5(&v5model.ShowPasswordPolicyV5Request{})).PasswordPolicy
		if p5.MinimumPasswordLength != 12 || p5.PasswordReusePrevention != 3 {
			t.Errorf("by version 5: %v", p5)
		}
		_, err := cl.CreateUser(&model.CreateUserRequest{Body: &model.CreateUserRequestBody{User: &model.CreateUserOption{Name: "alice", DomainId: domain, Password: ptr("Short-1")}}})
		refused(t, err, 400, "IAM.0007")
		says := must[*model.KeystoneShowSecurityComplianceResponse](t)(cl.KeystoneShowSecurityCompliance(&model.KeystoneShowSecurityComplianceRequest{DomainId: domain}))
		if r := says.Config.SecurityCompliance.PasswordRegex; r == "" {
			t.Errorf("compliance: %v", says)
		}
		_, err = cl.UpdateDomainPasswordPolicy(&model.UpdateDomainPasswordPolicyRequest{DomainId: domain,
			Body: &model.UpdateDomainPasswordPolicyRequestBody{PasswordPolicy: &model.PasswordPolicyOption{MinimumPasswordLength: ptr(int32(1))}}})
		refused(t, err, 400, "IAM.0007")
		_, err = cl.ShowDomainPasswordPolicy(&model.ShowDomainPasswordPolicyRequest{DomainId: "0123456789abcdef0123456789abcdef"})
		refused(t, err, 404, "IAM.0004")
	})

	t.Run("log-ins", func(t *testing.T) {
		must[*v5model.UpdateLoginPolicyV5Response](t)(cl5.UpdateLoginPolicyV5(&v5model.UpdateLoginPolicyV5Request{Body: &v5model.UpdateLoginPolicyReqBody{
			LockoutDuration: ptr(int32(15)), LoginFailedTimes: ptr(int32(5)), SessionTimeout: ptr(int32(60)), CustomInfoForLogin: ptr("welcome")}}))
		l := must[*model.ShowDomainLoginPolicyResponse](t)(cl.ShowDomainLoginPolicy(&model.ShowDomainLoginPolicyRequest{DomainId: domain})).LoginPolicy
		if l.LockoutDuration != 15 || l.LoginFailedTimes != 5 || l.SessionTimeout != 60 || l.CustomInfoForLogin != "welcome" {
			t.Errorf("by version 3: %v", l)
		}
	})

	t.Run("addresses", func(t *testing.T) {
		acl := must[*model.UpdateDomainConsoleAclPolicyResponse](t)(cl.UpdateDomainConsoleAclPolicy(&model.UpdateDomainConsoleAclPolicyRequest{DomainId: domain,
			Body: &model.UpdateDomainConsoleAclPolicyRequestBody{ConsoleAclPolicy: &model.ConsoleAclPolicyOption{
				AllowAddressNetmasks: &[]model.AllowAddressNetmasksOption{{AddressNetmask: "192.0.2.0/24", Description: ptr("office")}},
				AllowIpRanges:        &[]model.AllowIpRangesOption{{IpRange: "198.51.100.1-198.51.100.9"}}}}})).ConsoleAclPolicy
		if len(*acl.AllowAddressNetmasks) != 1 || len(*acl.AllowIpRanges) != 1 {
			t.Errorf("changed: %v", acl)
		}
		l := must[*v5model.ShowLoginPolicyV5Response](t)(cl5.ShowLoginPolicyV5(&v5model.ShowLoginPolicyV5Request{})).LoginPolicy
		if len(*l.AllowAddressNetmasks) != 1 || (*l.AllowAddressNetmasks)[0].AddressNetmask != "192.0.2.0/24" {
			t.Errorf("by version 5: %v", l)
		}
		api := func(network string) error {
			_, err := cl.UpdateDomainApiAclPolicy(&model.UpdateDomainApiAclPolicyRequest{DomainId: domain, Body: &model.UpdateDomainApiAclPolicyRequestBody{
				ApiAclPolicy: &model.AclPolicyOption{AllowAddressNetmasks: &[]model.AllowAddressNetmasksOption{{AddressNetmask: network}}}}})
			return err
		}
		refused(t, api("here"), 400, "IAM.0007")
		if err := api("0.0.0.0-255.255.255.255"); err != nil { // how clients take a limit away
			t.Fatal(err)
		}
		if err := api("192.0.2.0/24"); err != nil {
			t.Fatal(err)
		}
		for source, in := range map[string]bool{"192.0.2.7": true, "198.51.100.7": false} {
			err := c.Store.View(t.Context(), func(tx store.Tx) error { return c.Ident.Admit(tx, c.Root, source, false) })
			if in != (err == nil) || !in && !fail.Is(err, fail.Denied) {
				t.Errorf("from %s: %v", source, err)
			}
		}
	})
}

// TestSecondFactor: a device is made, confirmed by two of its codes, seen and removed; a user is told to have one.
func TestSecondFactor(t *testing.T) {
	c := cloudtest.Start(t)
	domain := string(c.Admin.DomainID)
	cl, cl5 := client(t, c, c.Admin.AccessKey, c.Admin.SecretKey, domain), v5(t, c, c.Admin.AccessKey, c.Admin.SecretKey)
	alice := must[*model.CreateUserResponse](t)(cl.CreateUser(&model.CreateUserRequest{Body: &model.CreateUserRequestBody{User: &model.CreateUserOption{
		Name: "alice", DomainId: domain, Password: ptr("correct-Horse-7")}}})).User.Id

	on := must[*model.UpdateLoginProtectResponse](t)(cl.UpdateLoginProtect(&model.UpdateLoginProtectRequest{UserId: alice,
		Body: &model.UpdateLoginProjectReq{LoginProtect: &model.UpdateLoginProject{Enabled: true, VerificationMethod: "vmfa"}}})).LoginProtect
	if !on.Enabled || on.VerificationMethod != "vmfa" {
		t.Errorf("protected: %v", on)
	}
	_, err := cl.UpdateLoginProtect(&model.UpdateLoginProtectRequest{UserId: alice,
		Body: &model.UpdateLoginProjectReq{LoginProtect: &model.UpdateLoginProject{Enabled: true, VerificationMethod: "sms"}}})
	refused(t, err, 501, "Awan.unsupported")
	if all := must[*model.ListUserLoginProtectsResponse](t)(cl.ListUserLoginProtects(&model.ListUserLoginProtectsRequest{})); len(*all.LoginProtects) != 2 {
		t.Errorf("protects: %v", all)
	}

	_, err = cl.ShowUserMfaDevice(&model.ShowUserMfaDeviceRequest{UserId: alice})
	refused(t, err, 404, "IAM.0004")
	device := must[*model.CreateMfaDeviceResponse](t)(cl.CreateMfaDevice(&model.CreateMfaDeviceRequest{Body: &model.CreateMfaDeviceReq{
		VirtualMfaDevice: &model.CreateMfaDevice{Name: "phone", UserId: alice}}})).VirtualMfaDevice
	code := func(later time.Duration) string {
		s, err := totp.GenerateCode(device.Base32StringSeed, c.Clock.Now().Add(later))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	bind := func(first, second string) error {
		_, err := cl.CreateBindingDevice(&model.CreateBindingDeviceRequest{Body: &model.BindMfaDevice{UserId: alice, SerialNumber: device.SerialNumber,
			AuthenticationCodeFirst: first, AuthenticationCodeSecond: second}})
		return err
	}
	now, _ := strconv.Atoi(code(0))
	wrong := strconv.Itoa(100000 + (now+1)%900000)
	refused(t, bind(wrong, wrong), 400, "IAM.0007")
	if err := bind(code(0), code(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	devices := must[*v5model.ListMfaDevicesV5Response](t)(cl5.ListMfaDevicesV5(&v5model.ListMfaDevicesV5Request{UserId: &alice}))
	if len(*devices.MfaDevices) != 1 || !(*devices.MfaDevices)[0].Enabled || (*devices.MfaDevices)[0].SerialNumber != device.SerialNumber {
		t.Errorf("devices: %v", devices)
	}
	if p, err := c.Ident.ByPassword(t.Context(), "awan", "alice", "correct-Horse-7", "127.0.0.1"); err != nil || p.Restricted == "" {
		t.Errorf("alice logs in without a code: %v, %v", p, err)
	}
	must[*v5model.DisableMfaDeviceV5Response](t)(cl5.DisableMfaDeviceV5(&v5model.DisableMfaDeviceV5Request{Body: &v5model.DisableMfaDeviceReqBody{
		UserId: alice, SerialNumber: device.SerialNumber}}))
	_, err = cl5.DeleteVirtualMfaDeviceV5(&v5model.DeleteVirtualMfaDeviceV5Request{UserId: alice, SerialNumber: device.SerialNumber})
	refused(t, err, 404, "IAM.0004")
}

// TestPolicyVersions: at most five, and the default one is what holds.
func TestPolicyVersions(t *testing.T) {
	c := cloudtest.Start(t)
	cl := v5(t, c, c.Admin.AccessKey, c.Admin.SecretKey)
	policy := must[*v5model.CreatePolicyV5Response](t)(cl.CreatePolicyV5(&v5model.CreatePolicyV5Request{Body: &v5model.CreatePolicyReqBody{
		PolicyName: "look", PolicyDocument: readUsers}})).Policy.PolicyId
	list := func() []v5model.PolicyVersion {
		return *must[*v5model.ListPolicyVersionsV5Response](t)(cl.ListPolicyVersionsV5(&v5model.ListPolicyVersionsV5Request{PolicyId: policy})).Versions
	}
	if v := list(); len(v) != 1 || v[0].VersionId != "v1" || !v[0].IsDefault {
		t.Errorf("at first: %v", v)
	}
	yes := true
	add := func() (*v5model.CreatePolicyVersionV5Response, error) {
		return cl.CreatePolicyVersionV5(&v5model.CreatePolicyVersionV5Request{PolicyId: policy, Body: &v5model.CreatePolicyVersionReqBody{PolicyDocument: readUsers, SetAsDefault: &yes}})
	}
	for range 4 {
		must[*v5model.CreatePolicyVersionV5Response](t)(add())
	}
	if v := list(); len(v) != 5 || v[0].VersionId != "v5" || !v[0].IsDefault || v[4].IsDefault {
		t.Errorf("five: %v", v)
	}
	_, err := add()
	refused(t, err, 409, "PAP5.0028")
	must[*v5model.SetDefaultPolicyVersionV5Response](t)(cl.SetDefaultPolicyVersionV5(&v5model.SetDefaultPolicyVersionV5Request{PolicyId: policy, VersionId: "v2"}))
	_, err = cl.DeletePolicyVersionV5(&v5model.DeletePolicyVersionV5Request{PolicyId: policy, VersionId: "v2"})
	refused(t, err, 409, "IAM.0005")
	must[*v5model.DeletePolicyVersionV5Response](t)(cl.DeletePolicyVersionV5(&v5model.DeletePolicyVersionV5Request{PolicyId: policy, VersionId: "v1"}))
	if p := must[*v5model.GetPolicyV5Response](t)(cl.GetPolicyV5(&v5model.GetPolicyV5Request{PolicyId: policy})).Policy; p.DefaultVersionId != "v2" {
		t.Errorf("policy: %v", p)
	}
	must[*v5model.DeletePolicyV5Response](t)(cl.DeletePolicyV5(&v5model.DeletePolicyV5Request{PolicyId: policy}))
}
