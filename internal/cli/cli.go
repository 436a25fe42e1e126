// Package cli is the awan command line. Commands for resources are derived from the descriptions of kinds; what is
// written by hand is what people do most: deploy, logs, exec, env. It is a client of the native API over HTTPS and may
// import kernel/{kind,fail,duplex}, adminenv and cli/client; never the door, a service's logic or an engine.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Options are what the command line is made of.
type Options struct {
	Kinds   []kind.Desc
	Version string
	// Up runs the cloud in the foreground until ctx ends.
	Up func(ctx context.Context, o UpOptions) error
	// Down stops the cloud that serves a data folder.
	Down   func(ctx context.Context, o DownOptions) error
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    func(string) string // nil: os.Getenv
}

// UpOptions are what awan up was told. Empty fields mean the cloud's own default.
type UpOptions struct {
	Data                     string // folder that holds everything
	Listen                   string // HOST:PORT
	Domain                   string // DNS domain under which services and apps have names
	Region                   string
	LogLevel                 string // debug, info, warn, error
	Upstream                 string // registry that images this cloud lacks are pulled from
	ACMEDirectory, ACMEEmail string
	TCPPorts                 string // FIRST-LAST that tenants' TCP ports are taken from
	DNS                      string // HOST:PORT of the name server for public zones; off: none
	Bases                    string // registry and path that base images are pulled from, instead of being made

	SMTP, SMTPFrom, SMTPUser, SMTPPasswordFile string   // the server that alarms' e-mail goes by
	WebhookAllow                               []string // addresses and networks beside public ones that notifications may go to
	AllowSources                               []string // hosts and networks that sources may come from beside public addresses
	Registries                                 []string // other registries that images may be named from

	// PasswordOnAPIs: new accounts begin without asking for a second factor on the APIs.
	PasswordOnAPIs bool
	Rates          string // FILE of what is metered costs
	Simulate       bool   // servers, networks and disks exist in memory only

	PublicIPs                        []string // ranges that public addresses are taken from: PREFIX or NAME=PREFIX
	OvercommitCPUs, OvercommitMemory float64  // how much more servers are promised than there is; 0: the default

	ObjectDirs                                  []string // folders on disks of their own that objects are spread over; none: in Data
	ObjectS3                                    string   // https://HOST/BUCKET/PREFIX of the store that objects lie in instead
	ObjectS3Region, ObjectS3CA, ObjectS3KeyFile string   // of that store
}

// DownOptions are what awan down was told.
type DownOptions struct {
	Data  string
	Purge bool // also take its containers, networks and rules off this machine
}

// session is one run of the command line.
type session struct {
	Options
	data, profile   string
	project, domain string
	began           bool // the command's own code runs: an error from now on is no mistake in the command line
	ran             *cobra.Command
	cached          *client.Client
	kindCommands    map[string]*kind.Desc // by command name
	code            string                // of a second factor, for awan login
}

// Groups of commands in the help.
const (
	groupApps     = "apps"
	groupServers  = "servers"
	groupObjects  = "objects"
	groupAccount  = "account"
	groupCloud    = "cloud"
	groupResource = "resources"
)

// New makes the command tree.
func New(o Options) *cobra.Command {
	root, _ := build(o)
	return root
}

func build(o Options) (*cobra.Command, *session) {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	s := &session{Options: o, kindCommands: map[string]*kind.Desc{}}
	root := &cobra.Command{
		Use:   "awan",
		Short: "a cloud of your own",
		Long:  "awan runs a whole cloud on your own machines, and is the tool to use it.",
		Example: `  awan up                              start a cloud on this machine
  awan deploy ./guestbook              build a folder and run it at an HTTPS address
  awan logs -f guestbook               follow what it prints
  awan component list -o json          any resource, as a table, JSON or YAML
  awan exec -- openstack token issue   run another cloud tool against this cloud`,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { s.began, s.ran = true, cmd },
		Version:          o.Version,
		Args:             cobra.ArbitraryArgs,
		Annotations:      isGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetIn(o.Stdin)
	root.SetOut(o.Stdout)
	root.SetErr(o.Stderr)
	p := root.PersistentFlags()
	p.StringVar(&s.data, "data", "", "use the cloud that keeps its data in `DIR`")
	p.StringVar(&s.profile, "profile", "", "use what awan login remembered under this `NAME`")
	p.StringVar(&s.project, "project", "", "work in this `PROJECT` (name or id)")
	p.StringVar(&s.domain, "domain", "", "work in this `DOMAIN` (account; name or id)")
	root.AddGroup(&cobra.Group{ID: groupApps, Title: "Run apps:"}, &cobra.Group{ID: groupServers, Title: "Servers (and awan server):"}, &cobra.Group{ID: groupObjects, Title: "Objects in buckets (and awan cp):"}, &cobra.Group{ID: groupAccount, Title: "Your account:"},
		&cobra.Group{ID: groupCloud, Title: "The cloud:"}, &cobra.Group{ID: groupResource, Title: "Every resource (list, show, create, update, delete, watch, events …):"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupApps, s.deployCmd(), s.appCmd(), s.appsCmd(), s.logsCmd(), s.metricsCmd(), s.scaleCmd(), s.rollbackCmd(), s.grayCmd(), s.cloneCmd(), s.simpleAppCmd("stop"), s.simpleAppCmd("start"), s.simpleAppCmd("restart"), s.execCmd())
	add(groupApps, s.runCmd(), s.devCmd(), s.applyCmd(), s.planCmd(), s.exportCmd(), s.removeCmd(), s.schemaCmd(), s.forwardCmd(), s.cpCmd())
	add(groupServers, s.sshCmd(), s.consoleCmd())
	add(groupObjects, s.lsCmd(), s.mvCmd(), s.rmCmd(), s.syncCmd(), s.catCmd(), s.shareCmd(), s.undeleteCmd())
	add(groupAccount, s.loginCmd(), s.logoutCmd(), s.whoamiCmd(), s.passwordCmd(), s.mfaCmd(), s.assumeCmd(), s.temporaryKeyCmd(), s.projectsCmd(), s.envCmd(), s.auditCmd(), s.usageCmd(), s.quotaCmd())
	add(groupCloud, s.upCmd(), s.downCmd(), s.caCmd(), s.jobCmd(), s.kindsCmd(), s.versionCmd(), s.completionCmd())
	root.AddCommand(exitCodesTopic(), environmentTopic())
	add(groupResource, s.kindCmds(root)...)
	root.SetHelpCommandGroupID(groupCloud)
	style(root)
	return root, s
}

// Run runs the command line and gives the exit code. SIGINT and SIGTERM end it in order; a second one at once.
func Run(ctx context.Context, o Options, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	root, s := build(o)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, errUsage) || !s.began {
		fmt.Fprintf(o.Stderr, "error: %v\nnext: see %s --help\n", err, cmd.CommandPath())
		return codeUsage
	}
	return s.report(err)
}

// client finds the cloud once.
func (s *session) client() (*client.Client, error) {
	if s.cached != nil {
		return s.cached, nil
	}
	t, err := s.finder().Find()
	if err != nil {
		return nil, err
	}
	if s.project != "" {
		t.Project = s.project
	}
	if s.cached, err = client.New(t, s.Version); err == nil && terminal(s.Stdin) != nil {
		s.cached.Code = func() (string, error) {
			return s.ask("This is a critical operation. Code of your second factor: ", false)
		}
	}
	return s.cached, err
}

func (s *session) finder() client.Finder {
	return client.Finder{Data: s.data, Profile: s.profile, Default: s.defaultData(), Config: s.configFile(), Env: s.Env}
}

func (s *session) configFile() string { return filepath.Join(s.configDir(), "config.json") }

func (s *session) configDir() string {
	if dir := s.Env("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "awan")
	}
	return filepath.Join(s.Env("HOME"), ".config", "awan")
}

// defaultData is the folder that awan up uses when it is told none.
func (s *session) defaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/awan"
	}
	if dir := s.Env("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "awan")
	}
	return filepath.Join(s.Env("HOME"), ".local", "share", "awan")
}

// projectPath is the first part of paths in a project; - stands for the credential's own. With --domain it is that account's.
func (s *session) projectPath(c *client.Client) string {
	p := cmp.Or(c.Target().Project, "-")
	if s.domain != "" && p != "-" {
		p = s.domain + ":" + p
	}
	return "/projects/" + url.PathEscape(p)
}

func (s *session) domainPath() string {
	return "/domains/" + url.PathEscape(cmp.Or(s.domain, "-"))
}

// collection is the path of a kind's rows.
func (s *session) collection(c *client.Client, k *kind.Desc) string {
	p := ""
	switch k.Scope {
	case kind.InProject:
		p = s.projectPath(c)
	case kind.InDomain:
		p = s.domainPath()
	}
	return p + "/" + k.Service + "/" + k.Plural
}

// kindOf finds a description; nil when this build does not have the kind.
func (s *session) kindOf(service, name string) *kind.Desc {
	for i := range s.Kinds {
		if s.Kinds[i].Service == service && s.Kinds[i].Name == name {
			return &s.Kinds[i]
		}
	}
	return nil
}
