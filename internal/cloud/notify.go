package cloud

import (
	"net"
	"net/mail"
	"net/netip"
	"os"
	"strings"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/alarm"
)

// notifying reads what the operator says of how notifications may leave the cloud.
func notifying(o cli.UpOptions) (m alarm.Mail, allow []netip.Prefix, err error) {
	for _, text := range o.WebhookAllow {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return m, nil, fail.Field("webhook-allow", "%q is not a network", text).Then("write 10.1.0.0/16, or one address")
		}
		allow = append(allow, p.Masked())
	}
	if o.SMTP == "" {
		if o.SMTPFrom != "" || o.SMTPUser != "" || o.SMTPPasswordFile != "" {
			return m, nil, fail.Field("smtp", "is not given").Then("give --smtp HOST:PORT with the other flags")
		}
		return m, allow, nil
	}
	if _, _, err := net.SplitHostPort(o.SMTP); err != nil {
		return m, nil, fail.Field("smtp", "%q is not HOST:PORT", o.SMTP)
	}
	from, err := mail.ParseAddress(o.SMTPFrom)
	if err != nil {
		return m, nil, fail.Field("smtp-from", "%q is not an e-mail address", o.SMTPFrom)
	}
	m = alarm.Mail{Server: o.SMTP, From: from.Address, User: o.SMTPUser}
	if o.SMTPPasswordFile != "" {
		b, err := os.ReadFile(o.SMTPPasswordFile)
		if err != nil {
			return m, nil, fail.Field("smtp-password-file", "%s cannot be read", o.SMTPPasswordFile).Because(err)
		}
		m.Password = strings.TrimSpace(string(b))
	}
	return m, allow, nil
}
