package balancer

import (
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// one counts rows against a quota.
func one[S any](dim ledger.Dim) map[ledger.Dim]func(S) int64 {
	return map[ledger.Dim]func(S) int64{dim: func(S) int64 { return 1 }}
}

func some(values ...string) (out []string) {
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

func (s *Service) describe() {
	s.Balancer = kind.TableOf[BalancerSpec, BalancerStatus](kind.Kind[BalancerSpec, BalancerStatus]{Service: "balancer", Name: "load-balancer", Scope: kind.InProject, AnyName: true,
		Doc:     "A load balancer: an address in a VPC that leads to several servers.",
		Columns: []string{"status.address", "status.operating", "spec.description"}, Example: BalancerSpec{Subnet: "subnet-default"},
		Quota: one[BalancerSpec]("balancer.load-balancers"),
		Meter: map[ledger.Dim]func(BalancerSpec, BalancerStatus) int64{"balancer.load-balancers": func(BalancerSpec, BalancerStatus) int64 { return 1 }},
		Index: map[string]func(*balancerRow) []string{
			"port":   func(r *balancerRow) []string { return some(r.Status.Port) },
			"subnet": func(r *balancerRow) []string { return some(r.Status.Subnet) },
			"vpc":    func(r *balancerRow) []string { return some(r.Status.VPC) }},
		Defaults: s.balancerDefaults, Check: s.checkBalancer, CheckDelete: s.balancerUnused, Shown: s.balancerShown,
		Create: job.Flow[balancerRow]{
			{Name: "port", Do: s.makePort, Undo: s.dropPort},
			{Name: "plug", Do: s.plugPort},
			{Name: "public address", Do: s.makePublic, Commit: s.publish, Undo: s.dropPublic},
		},
		Delete: job.Flow[balancerRow]{{Name: "public address", Do: s.dropPublic}, {Name: "port", Do: s.dropPort}},
		Actions: []kind.Action[BalancerSpec, BalancerStatus]{
			{Verb: "requests", Doc: "the last thousand requests since the cloud started", Level: kind.Read, Serve: s.requests},
		}}.Def())
	s.Listener = kind.TableOf[ListenerSpec, ListenerStatus](kind.Kind[ListenerSpec, ListenerStatus]{Service: "balancer", Name: "listener", Scope: kind.InProject, AnyName: true,
		Doc:     "A port of a load balancer, and what becomes of what comes to it.",
		Columns: []string{"spec.protocol", "spec.port", "spec.balancer", "status.listening"}, Example: ListenerSpec{Balancer: "front", Protocol: "http", Port: 80, Pool: "web"},
		Quota: one[ListenerSpec]("balancer.listeners"),
		Index: map[string]func(*listenerRow) []string{
			"balancer": func(r *listenerRow) []string { return some(r.Spec.Balancer) },
			"pool":     func(r *listenerRow) []string { return some(r.Spec.Pool) },
			"certificate": func(r *listenerRow) []string {
				return append(some(r.Spec.Certificate, r.Spec.ClientCA), r.Spec.Certificates...)
			},
			"group": func(r *listenerRow) []string { return some(r.Spec.IPGroup) }},
		Defaults: s.listenerDefaults, Check: s.checkListener, CheckDelete: s.listenerUnused, Shown: s.listenerShown}.Def())
	s.Pool = kind.TableOf[PoolSpec, PoolStatus](kind.Kind[PoolSpec, PoolStatus]{Service: "balancer", Name: "pool", Scope: kind.InProject, AnyName: true,
		Doc:     "Members that do the same work, and how one of them is chosen.",
		Columns: []string{"spec.protocol", "spec.algorithm", "status.members", "status.online"}, Example: PoolSpec{Balancer: "front", Protocol: "http"},
		Quota:    one[PoolSpec]("balancer.pools"),
		Index:    map[string]func(*poolRow) []string{"balancer": func(r *poolRow) []string { return some(r.Spec.Balancer) }},
		Defaults: s.poolDefaults, Check: s.checkPool, CheckDelete: s.poolUnused, Shown: s.poolShown}.Def())
	s.Member = kind.TableOf[MemberSpec, MemberStatus](kind.Kind[MemberSpec, MemberStatus]{Service: "balancer", Name: "member", Scope: kind.InProject, AnyName: true,
		Doc:     "An address and a port that do a pool's work.",
		Columns: []string{"spec.address", "spec.port", "spec.weight", "status.operating"}, Example: MemberSpec{Pool: "web", Address: "192.168.0.10", Port: 8080},
		Quota:    one[MemberSpec]("balancer.members"),
		Index:    map[string]func(*memberRow) []string{"pool": func(r *memberRow) []string { return some(r.Spec.Pool) }},
		Defaults: s.memberDefaults, Check: s.checkMember, Shown: s.memberShown}.Def())
	s.Monitor = kind.TableOf[MonitorSpec, MonitorStatus](kind.Kind[MonitorSpec, MonitorStatus]{Service: "balancer", Name: "health-monitor", Scope: kind.InProject, AnyName: true,
		Doc:     "How to find out whether a pool's members work.",
		Columns: []string{"spec.pool", "spec.type", "spec.delay"}, Example: MonitorSpec{Pool: "web", Type: "http", Path: "/healthz"},
		Index:    map[string]func(*monitorRow) []string{"pool": func(r *monitorRow) []string { return some(r.Spec.Pool) }},
		Defaults: s.monitorDefaults, Check: s.checkMonitor}.Def())
	s.Certificate = kind.TableOf[CertificateSpec, CertificateStatus](kind.Kind[CertificateSpec, CertificateStatus]{Service: "balancer", Name: "certificate", Scope: kind.InProject, AnyName: true,
		Doc:     "A certificate with its private key, for listeners that speak TLS.",
		Columns: []string{"spec.type", "status.common_name", "status.not_after"},
		Quota:   one[CertificateSpec]("balancer.certificates"), Check: s.checkCertificate, CheckDelete: s.certificateUnused}.Def())
	s.Policy = kind.TableOf[PolicySpec, PolicyStatus](kind.Kind[PolicySpec, PolicyStatus]{Service: "balancer", Name: "forwarding-policy", Plural: "forwarding-policies", Scope: kind.InProject, AnyName: true,
		Doc:     "What becomes of requests that all its rules fit.",
		Columns: []string{"spec.listener", "spec.action", "spec.priority"}, Example: PolicySpec{Listener: "web", Action: "pool", Pool: "api"},
		Quota: one[PolicySpec]("balancer.forwarding-policies"),
		Index: map[string]func(*policyRow) []string{
			"listener": func(r *policyRow) []string { return some(r.Spec.Listener) },
			"pool":     func(r *policyRow) []string { return some(r.Spec.Pool) },
			"to":       func(r *policyRow) []string { return some(r.Spec.To) }},
		Defaults: s.policyDefaults, Check: s.checkPolicy, CheckDelete: s.policyUnused}.Def())
	s.Rule = kind.TableOf[RuleSpec, RuleStatus](kind.Kind[RuleSpec, RuleStatus]{Service: "balancer", Name: "forwarding-rule", Scope: kind.InProject, AnyName: true,
		Doc:     "What a request must be like for a forwarding policy.",
		Columns: []string{"spec.policy", "spec.of", "spec.compare", "spec.values"}, Example: RuleSpec{Policy: "api", Of: "path", Compare: "prefix", Values: []string{"/api/"}},
		Quota:    one[RuleSpec]("balancer.forwarding-rules"),
		Index:    map[string]func(*ruleRow) []string{"policy": func(r *ruleRow) []string { return some(r.Spec.Policy) }},
		Defaults: s.ruleDefaults, Check: s.checkRule}.Def())
	s.Group = kind.TableOf[GroupSpec, GroupStatus](kind.Kind[GroupSpec, GroupStatus]{Service: "balancer", Name: "ip-group", Scope: kind.InProject, AnyName: true,
		Doc:     "Addresses that listeners let come, or do not.",
		Columns: []string{"spec.description"}, Example: GroupSpec{Addresses: []GroupAddress{{Address: "192.0.2.0/24"}}},
		Quota: one[GroupSpec]("balancer.ip-groups"), Check: s.checkGroup, CheckDelete: s.groupUnused}.Def())
}
