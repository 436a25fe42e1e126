package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
)

// greet tells what the cloud tells who logs in.
func (s *session) greet(doc json.RawMessage) {
	var in struct {
		Needs  string `json:"needs"`
		Notice string `json:"notice"`
		Last   *struct {
			At     time.Time `json:"at"`
			Source string    `json:"source"`
		} `json:"last_login"`
	}
	if json.Unmarshal(doc, &in) != nil {
		return
	}
	if in.Notice != "" {
		fmt.Fprintln(s.Stderr, clean(in.Notice))
	}
	if in.Last != nil {
		fmt.Fprintf(s.Stderr, "last log-in: %s from %s\n", in.Last.At.Local().Format(time.DateTime), clean(in.Last.Source))
	}
	switch in.Needs {
	case "factor":
		fmt.Fprintln(s.Stderr, "your account wants a second factor before anything else: awan mfa enrol")
	case "password":
		fmt.Fprintln(s.Stderr, "choose a new password before anything else: awan password")
	}
}

func (s *session) passwordCmd() *cobra.Command {
	var old, password, code string
	cmd := &cobra.Command{Use: "password", Short: "change your password", Args: cobra.NoArgs,
		Long: "Change your password. It ends every log-in of yours, this one too.", Example: examples("awan password")}
	cmd.Flags().StringVar(&old, "old", "", "the present `PASSWORD`: @FILE reads a file; without it, it is asked for")
	cmd.Flags().StringVar(&password, "new", "", "the new `PASSWORD`: @FILE reads a file; without it, it is asked for")
	cmd.Flags().StringVar(&code, "code", "", "the `CODE` of your second factor, where you have one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		for what, v := range map[string]*string{"old": &old, "new": &password} {
			if *v != "" {
				if *v, err = s.given(what, *v); err != nil {
					return err
				}
			}
		}
		if old == "" {
			if old, err = s.ask("Present password: ", true); err != nil {
				return err
			}
		}
		if password == "" {
			if password, err = s.ask("New password: ", true); err != nil {
				return err
			}
		}
		var me struct {
			UserID   string `json:"user_id"`
			DomainID string `json:"domain_id"`
		}
		if err := c.Do(cmd.Context(), client.Request{Method: "GET", Path: "/whoami"}, &me); err != nil {
			return err
		}
		in := map[string]string{"domain": me.DomainID, "user": me.UserID, "old": old, "new": password, "code": code}
		if err := c.Do(cmd.Context(), client.Request{Method: "POST", Path: "/me/password", Public: true, In: in}, nil); err != nil {
			return err
		}
		fmt.Fprintln(s.Stderr, "changed; log in with it: awan login")
		return nil
	}
	return cmd
}

// given reads what a flag says: @FILE, - or the value itself.
func (s *session) given(flag, v string) (string, error) {
	x, err := s.secret(flag, "", v, false)
	str, _ := x.(string)
	return str, err
}

func (s *session) mfaCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "mfa", Short: "your second factor: an authenticator app", Args: cobra.NoArgs, Annotations: isGroup,
		Long: "Your second factor: an authenticator app on your phone that shows a code when you log in.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	list := s.reading("list", "your devices", "List your devices.", examples("awan mfa list"), nil,
		func(*client.Client) client.Request { return client.Request{Method: "GET", Path: "/me/mfa"} },
		func(doc []byte) error {
			return s.tableOf(doc, "you have no second factor: awan mfa enrol", []string{"ID", "NAME", "ACTIVE"}, func(i map[string]any) []string {
				status, _ := i["status"].(map[string]any)
				return []string{text(i["id"]), text(i["name"]), text(status["active"])}
			})
		})
	cmd.AddCommand(list, s.enrolCmd(), s.backupCmd(), s.removeDeviceCmd())
	return cmd
}

func (s *session) enrolCmd() *cobra.Command {
	var name string
	cmd := &cobra.Command{Use: "enrol", Short: "add an authenticator app", Args: cobra.NoArgs,
		Long:    "Add an authenticator app: it shows the app's secret, asks for the code that the app then shows, and prints backup codes. Every log-in of yours ends.",
		Example: examples("awan mfa enrol")}
	cmd.Flags().StringVar(&name, "name", "phone", "what the device is called")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var made struct {
			Resource struct {
				ID     string `json:"id"`
				Status struct {
					Secret string `json:"secret"`
					URI    string `json:"uri"`
				} `json:"status"`
			} `json:"resource"`
		}
		if err := c.Do(cmd.Context(), client.Request{Method: "POST", Path: "/me/mfa", In: map[string]string{"name": name}}, &made); err != nil {
			return err
		}
		fmt.Fprintf(s.Stdout, "Add this to your authenticator app:\n\n  secret  %s\n  or open %s\n\n", made.Resource.Status.Secret, made.Resource.Status.URI)
		code, err := s.ask("Code that the app shows: ", false)
		if err != nil {
			return err
		}
		return s.codes(cmd, c, client.Request{Method: "POST", Path: "/me/mfa/" + made.Resource.ID + "/confirm", In: map[string]string{"code": code}},
			"it works. Log in again, with its code: awan login")
	}
	return cmd
}

func (s *session) codes(cmd *cobra.Command, c *client.Client, r client.Request, done string) error {
	var out struct {
		Codes []string `json:"backup_codes"`
	}
	if err := c.Do(cmd.Context(), r, &out); err != nil {
		return err
	}
	fmt.Fprintln(s.Stderr, "keep these backup codes; each logs you in once, and they are never shown again:")
	for _, code := range out.Codes {
		fmt.Fprintln(s.Stdout, code)
	}
	if done != "" {
		fmt.Fprintln(s.Stderr, done)
	}
	return nil
}

func (s *session) backupCmd() *cobra.Command {
	return &cobra.Command{Use: "codes", Short: "new backup codes", Args: cobra.NoArgs, Long: "Make new backup codes. Earlier ones stop working.",
		Example: examples("awan mfa codes"), RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			return s.codes(cmd, c, client.Request{Method: "POST", Path: "/me/backup-codes"}, "")
		}}
}

func (s *session) removeDeviceCmd() *cobra.Command {
	return &cobra.Command{Use: "remove DEVICE", Short: "remove a device", Args: cobra.ExactArgs(1), Long: "Remove one of your devices, by its id.",
		Example: examples("awan mfa remove 01a2145901a27b70b21aea0d6939fc18"), RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			return c.Do(cmd.Context(), client.Request{Method: "DELETE", Path: "/me/mfa/" + args[0]}, nil)
		}}
}

func (s *session) assumeCmd() *cobra.Command {
	var project string
	var seconds int64
	var keys bool
	cmd := &cobra.Command{Use: "assume ACCOUNT AGENCY", Short: "act through another account's agency", Args: cobra.ExactArgs(2),
		Long:    "Act through an agency of another account that trusts yours: prints a token, or temporary keys, as variables for your shell.",
		Example: examples("eval \"$(awan assume partner helpers)\"", "awan assume partner helpers --keys")}
	cmd.Flags().StringVar(&project, "in-project", "", "in this `PROJECT` of theirs")
	cmd.Flags().Int64Var(&seconds, "duration", 3600, "how many `SECONDS` it lasts")
	cmd.Flags().BoolVar(&keys, "keys", false, "temporary keys instead of a token")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var out struct {
			Token string `json:"token"`
			keysDoc
		}
		in := map[string]any{"domain": args[0], "agency": args[1], "project": project, "duration": seconds, "keys": keys}
		if err := c.Do(cmd.Context(), client.Request{Method: "POST", Path: "/assume", In: in}, &out); err != nil {
			return err
		}
		if keys {
			return s.exportKeys(out.keysDoc)
		}
		fmt.Fprintf(s.Stdout, "export AWAN_TOKEN=%s\n", out.Token)
		return nil
	}
	return cmd
}

type keysDoc struct {
	Access   string `json:"access_key"`
	Secret   string `json:"secret_key"`
	Security string `json:"security_token"`
}

func (s *session) exportKeys(k keysDoc) error {
	for _, names := range [][3]string{{"HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN"}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}} {
		if _, err := fmt.Fprintf(s.Stdout, "export %s=%s\nexport %s=%s\nexport %s=%s\n", names[0], k.Access, names[1], k.Secret, names[2], k.Security); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) temporaryKeyCmd() *cobra.Command {
	var seconds int64
	var policy string
	cmd := &cobra.Command{Use: "temporary-key", Short: "a key of yours that ends by itself", Args: cobra.NoArgs,
		Long:    "Make a temporary key that acts as you, at most as a policy document allows. Prints variables for your shell.",
		Example: examples("eval \"$(awan temporary-key --duration 3600)\"")}
	cmd.Flags().Int64Var(&seconds, "duration", 900, "how many `SECONDS` it works, 900 to 86400")
	cmd.Flags().StringVar(&policy, "policy", "", "narrow it by this policy `DOCUMENT`: @FILE reads a file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		in := map[string]any{"duration": seconds}
		if policy != "" {
			doc, err := s.given("policy", policy)
			if err != nil {
				return err
			}
			if !json.Valid([]byte(doc)) {
				return usagef("--policy is no JSON")
			}
			in["policy"] = json.RawMessage(doc)
		}
		var out keysDoc
		if err := c.Do(cmd.Context(), client.Request{Method: "POST", Path: "/me/temporary-keys", In: in}, &out); err != nil {
			return err
		}
		return s.exportKeys(out)
	}
	return cmd
}
