package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) upCmd() *cobra.Command {
	o := new(UpOptions)
	cmd := &cobra.Command{Use: "up", Short: "run a cloud on this machine, in the foreground",
		Long: "Run a cloud on this machine, in the foreground, until Ctrl-C or SIGTERM. Apps go on running meanwhile and are taken up\n" +
			"again by the next awan up with the same --data.",
		Example: examples("awan up", "awan up --data /srv/cloud --listen 0.0.0.0:443 --domain cloud.example.org"), Args: cobra.NoArgs}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", s.defaultData(), "keep everything under `DIR`")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8443", "serve at this `HOST:PORT`")
	f.StringVar(&o.Domain, "domain", "", "DNS `DOMAIN` under which services and apps have names")
	f.StringVar(&o.Region, "region", "", "`NAME` of the region, and of the first project")
	f.StringVar(&o.Upstream, "upstream-registry", "", "pull images that this cloud lacks from the registry at this `HOST`; empty: from nowhere")
	f.StringVar(&o.Bases, "upstream-bases", "", "pull base images from `HOST/PATH` instead of making them from Debian packages")
	f.StringVar(&o.SMTP, "smtp", "", "send alarms' e-mail by the server at this `HOST:PORT`; empty: there is no e-mail")
	f.StringVar(&o.SMTPFrom, "smtp-from", "", "sender's `ADDRESS` of that e-mail")
	f.StringVar(&o.SMTPUser, "smtp-user", "", "`NAME` to log in to the mail server with; empty: without a log-in")
	f.StringVar(&o.SMTPPasswordFile, "smtp-password-file", "", "`FILE` that holds the password for it")
	f.StringArrayVar(&o.WebhookAllow, "webhook-allow", nil, "let notifications go to this `NETWORK` too, 10.1.0.0/16 say; otherwise to public addresses and apps only (may be repeated)")
	f.StringSliceVar(&o.AllowSources, "allow-sources", nil, "let git repositories and images come from these `HOSTS` too (HOST, HOST:PORT, 10.1.0.0/16), beside public addresses")
	f.StringSliceVar(&o.Registries, "allow-registries", nil, "let apps run images of these registries of others, by full name (`HOSTS`: ghcr.io); empty: of none")
	f.StringSliceVar(&o.ObjectDirs, "object-dirs", nil, "spread objects over these `DIRS`, each on a disk of its own, with parity: one in four may be lost (two: one). Their number is fixed at the first start")
	f.StringVar(&o.ObjectS3, "object-s3", "", "keep objects, encrypted here, in the S3 store at `https://HOST/BUCKET/PREFIX`; the key is taken from AWAN_OBJECT_S3_ACCESS_KEY and AWAN_OBJECT_S3_SECRET_KEY")
	f.StringVar(&o.ObjectS3KeyFile, "object-s3-key-file", "", "or from this `FILE`: access key and secret, one on each line")
	f.StringVar(&o.ObjectS3Region, "object-s3-region", "", "that store's region, when it does not tell `NAME`")
	f.StringVar(&o.ObjectS3CA, "object-s3-ca", "", "trust the authorities in this PEM `FILE` for it, beside the machine's")
	f.StringVar(&o.ACMEDirectory, "acme-directory", "", "get certificates of tenants' own names from the ACME authority at this `URL`; empty: from nowhere")
	f.StringVar(&o.ACMEEmail, "acme-email", "", "`ADDRESS` that the authority may write to")
	f.StringVar(&o.TCPPorts, "tcp-ports", "", "`FIRST-LAST` of the ports that tenants' TCP ports are taken from (default 20000-20999)")
	f.BoolVar(&o.PasswordOnAPIs, "password-on-apis", false, "let people who may change something log in to the APIs by password alone, without a second factor, in accounts made from now on; each account's security policy may say otherwise")
	f.StringVar(&o.Rates, "rates", "", "ask the prices in this JSON `FILE` for what is metered; usage and forms then show them")
	f.BoolVar(&o.Simulate, "simulate", false, "simulate servers, networks and disks, to try out clients and plans: nothing runs in them, and they end with this process")
	f.StringSliceVar(&o.PublicIPs, "public-ips", nil, "take public addresses from these `RANGES` (203.0.113.0/24, or office=203.0.113.0/24), which must be routed to this machine (default 172.29.0.0/22, reached from here only)")
	f.Float64Var(&o.OvercommitCPUs, "overcommit-cpus", 0, "promise servers `N` virtual processors for each real one (default 8)")
	f.Float64Var(&o.OvercommitMemory, "overcommit-memory", 0, "promise servers `N` times the memory there is; below 1 keeps some for apps (default 1)")
	f.StringVar(&o.DNS, "dns", "", "answer for public DNS zones at this `HOST:PORT`; off: nowhere (default: the host of --listen, ten ports above)")
	o.LogLevel = "warn"
	f.Var(&choice{into: &o.LogLevel, of: []string{"debug", "info", "warn", "error"}}, "log-level", "how much to log on standard error")
	complete(cmd, "log-level", "debug", "info", "warn", "error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.Up == nil {
			return fail.New(fail.Unsupported, "this awan is a client only")
		}
		abs, err := filepath.Abs(o.Data)
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "%q is no path", o.Data)
		}
		o.Data = abs
		cmd.Root().ResetCommands() // this process runs no other: what they take is free again
		return s.Up(cmd.Context(), *o)
	}
	return cmd
}

func (s *session) downCmd() *cobra.Command {
	o := new(DownOptions)
	cmd := &cobra.Command{Use: "down", Short: "stop the cloud that runs on this machine",
		Long: "Stop the cloud that keeps its data in DIR on this machine. Apps go on running and are taken up again by the next awan up,\n" +
			"unless --purge takes them off the machine; the data stays either way, and the next awan up starts them anew.",
		Example: examples("awan down", "awan down --data /srv/cloud --purge"), Args: cobra.NoArgs}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", s.defaultData(), "the cloud that keeps its data in `DIR`")
	f.BoolVar(&o.Purge, "purge", false, "also remove its containers, networks, cgroups and packet rules from this machine")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.Down == nil {
			return fail.New(fail.Unsupported, "this awan is a client only")
		}
		abs, err := filepath.Abs(o.Data)
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "%q is no path", o.Data)
		}
		o.Data = abs
		return s.Down(cmd.Context(), *o)
	}
	return cmd
}

func (s *session) caCmd() *cobra.Command {
	var hint, fingerprint bool
	cmd := &cobra.Command{Use: "ca", Short: "print the cloud's CA certificate", Long: "Print the certificate of the cloud's CA: what browsers and tools must trust.",
		Example: examples("awan ca > awan-ca.pem", "awan ca --fingerprint", "awan ca --install-hint"), Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&hint, "install-hint", false, "print how to make this machine trust it")
	cmd.Flags().BoolVar(&fingerprint, "fingerprint", false, "print its SHA-256, to compare with what awan login shows")
	cmd.RunE = func(*cobra.Command, []string) error {
		t, err := s.finder().Find()
		if err != nil {
			return err
		}
		if t.CA == "" {
			return fail.New(fail.NotFound, "no CA of its own is known for %s: this machine's CAs are used", t.URL)
		}
		if fingerprint {
			sum, err := client.Fingerprint([]byte(t.CA))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Stdout, client.Grouped(sum))
			return err
		}
		if hint {
			_, err = fmt.Fprint(s.Stdout, installHint)
			return err
		}
		_, err = fmt.Fprint(s.Stdout, strings.TrimRight(t.CA, "\n")+"\n")
		return err
	}
	return cmd
}

const installHint = `# Debian, Ubuntu
awan ca | sudo tee /usr/local/share/ca-certificates/awan.crt >/dev/null && sudo update-ca-certificates
# Fedora, RHEL
awan ca | sudo tee /etc/pki/ca-trust/source/anchors/awan.pem >/dev/null && sudo update-ca-trust
# macOS
awan ca > awan.pem && sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain awan.pem
# Firefox and Chrome on Linux keep CAs of their own: import the file in their settings, under certificates.
# One command only, without installing anything:
awan exec -- COMMAND
`

func (s *session) jobCmd() *cobra.Command {
	var output string
	show := &cobra.Command{Use: "show ID", Short: "show an operation", Long: "Show an operation with its steps.", Example: examples("awan job show ID"), Args: cobra.ExactArgs(1)}
	outputFlag(show, &output)
	show.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		j, doc, err := getJob(cmd.Context(), c, args[0], 0)
		if err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, doc)
		}
		return s.showJob(j)
	}
	var timeout time.Duration
	wait := &cobra.Command{Use: "wait ID", Short: "wait until an operation ends", Long: "Wait until an operation ends, and show its steps. It fails when the operation did.",
		Example: examples("awan job wait ID --timeout 10m"), Args: cobra.ExactArgs(1)}
	wait.Flags().DurationVar(&timeout, "timeout", 0, "wait at most this `TIME`")
	wait.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		_, err = s.follow(ctx, c, args[0], nil, false)
		return err
	}
	return group("job", "see or wait for an operation", "See an operation, or wait for its end. Commands that change something wait by themselves, unless told --no-wait.", show, wait)
}

func (s *session) showJob(j *jobView) error {
	fmt.Fprintf(s.Stdout, "%s %s %s: %s", j.Operation, j.Kind, clean(j.Name), j.State)
	if j.Note != "" {
		fmt.Fprintf(s.Stdout, " (%s)", clean(j.Note))
	}
	fmt.Fprintln(s.Stdout)
	for i, st := range j.Steps {
		state, took := "to come", ""
		switch {
		case st.Undone:
			state = "taken back"
		case !st.Ended.IsZero():
			state, took = "done", span(st.Ended.Sub(st.Started))
		case i == j.Step && !j.done():
			state, took = "running", span(time.Since(st.Started))
		}
		fmt.Fprintf(s.Stdout, "  %-16s %-10s %s\n", clean(st.Name), state, took)
	}
	if j.Error != nil {
		fmt.Fprintf(s.Stdout, "failed: %s\n", clean(j.Error.Message))
		if j.Error.Next != "" {
			fmt.Fprintf(s.Stdout, "next: %s\n", clean(j.Error.Next))
		}
	}
	return nil
}

func (s *session) kindsCmd() *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "kinds", Short: "list every kind of resource", Long: "List every kind of resource with what it is and what can be done to it.",
		Example: examples("awan kinds", "awan kinds -o json"), Args: cobra.NoArgs}
	outputFlag(cmd, &output)
	cmd.RunE = func(*cobra.Command, []string) error {
		if output != "table" {
			doc, err := json.Marshal(map[string]any{"items": s.Kinds})
			if err != nil {
				return fail.Wrap(err, fail.Internal, "the kinds cannot be written")
			}
			return s.document(output, doc)
		}
		names := map[string]any{}
		for name := range s.kindCommands {
			names[name] = nil
		}
		var rows [][]string
		for _, name := range sortedKeys(names) {
			k := s.kindCommands[name]
			var verbs []string
			for _, v := range s.verbCmds(name, k) {
				verbs = append(verbs, v.Name())
			}
			rows = append(rows, []string{name, k.Service, string(k.Scope), strings.Join(verbs, " "), k.Doc})
		}
		return s.table([]string{"KIND", "SERVICE", "IN A", "VERBS", "WHAT"}, rows)
	}
	return cmd
}

func (s *session) versionCmd() *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "version", Short: "print the versions of awan and of the cloud", Long: "Print the version of this awan, and of the cloud when one answers.",
		Example: examples("awan version", "awan version -o json"), Args: cobra.NoArgs}
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var v struct {
			Version string `json:"version,omitempty"`
			Region  string `json:"region,omitempty"`
			URL     string `json:"url,omitempty"`
		}
		if c, err := s.client(); err == nil {
			ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
			defer cancel()
			if c.Do(ctx, client.Request{Method: "GET", Path: "/version", Public: true}, &v) == nil { // no cloud: its version is left out
				v.URL = c.Target().URL
			}
		}
		if output != "table" {
			doc, err := json.Marshal(map[string]any{"version": s.Version, "cloud": v})
			if err != nil {
				return fail.Wrap(err, fail.Internal, "the versions cannot be written")
			}
			return s.document(output, doc)
		}
		fmt.Fprintf(s.Stdout, "awan %s\n", s.Version)
		if v.URL != "" {
			fmt.Fprintf(s.Stdout, "cloud %s at %s, region %s\n", clean(v.Version), v.URL, clean(v.Region))
		}
		return nil
	}
	return cmd
}
