package dns

import (
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// ZoneSpec describes a zone. Its row's name is the domain's, in lower case and without the final dot.
type ZoneSpec struct {
	Type        string   `json:"type" doc:"public: for everybody who asks; private: for its VPCs only" enum:"public,private" default:"public" immutable:"true"`
	VPCs        []string `json:"vpcs" doc:"for private: the VPCs in which it is answered" ref:"network/vpc" max:"100"`
	Email       string   `json:"email" doc:"address of whoever cares for it; empty: hostmaster at the domain" max:"255" example:"hostmaster@example.com"`
	TTL         int      `json:"ttl" doc:"how long others may keep that a name is not there" unit:"s" default:"300" min:"1" max:"2147483647"`
	Description string   `json:"description" doc:"free text" max:"255"`
	Disabled    bool     `json:"disabled" doc:"nothing in it is answered"`
	Recursive   bool     `json:"recursive" doc:"for private: names that it lacks are looked up as if it were not there; otherwise they do not exist"`
}

// ZoneStatus is what came of it.
type ZoneStatus struct {
	Serial      uint32   `json:"serial" doc:"counts changes, as the SOA record shows it"`
	NameServers []string `json:"name_servers" doc:"names of the servers that answer for it"`
	Records     int      `json:"records" doc:"how many record sets it has"`
}

// RecordSpec describes the records of one name and one type. The row's name is the whole name, in lower case and without
// the final dot.
type RecordSpec struct {
	Zone        string   `json:"zone" doc:"zone that it is in" ref:"dns/zone" required:"true" immutable:"true"`
	Type        string   `json:"type" doc:"type of the records" required:"true" enum:"A,AAAA,CNAME,MX,TXT,NS,SOA,SRV,CAA,PTR"`
	TTL         int      `json:"ttl" doc:"how long others may keep the records" unit:"s" default:"300" min:"1" max:"2147483647"`
	Values      []string `json:"values" doc:"the records' data as a zone file has it: 192.0.2.1; 10 mail.example.com.; \"some text\"" required:"true" max:"50"`
	Weight      *int     `json:"weight" doc:"where several record sets have the same name and type: how often this one is the answer, beside the others; 0: only when the others have 0 too" max:"1000"`
	Description string   `json:"description" doc:"free text" max:"255"`
	Disabled    bool     `json:"disabled" doc:"it is not answered"`
}

// RecordStatus is what came of it.
type RecordStatus struct {
	ZoneName string `json:"zone_name" doc:"the zone's name"`
	ZoneType string `json:"zone_type" doc:"public or private"`
	System   bool   `json:"system" doc:"the zone's own SOA or NS records, which come and go with it"`
}

type (
	zoneRow   = kind.Row[ZoneSpec, ZoneStatus]
	recordRow = kind.Row[RecordSpec, RecordStatus]
)

// The types of zones.
const (
	Public  = "public"
	Private = "private"
)

func (s *Service) describe() {
	one := func(ZoneSpec) int64 { return 1 }
	s.Zone = kind.TableOf[ZoneSpec, ZoneStatus](kind.Kind[ZoneSpec, ZoneStatus]{Service: "dns", Name: "zone", Scope: kind.InProject, AnyName: true, NoRename: true,
		Doc:     "A DNS zone: a domain whose names this cloud answers for, publicly or in your VPCs.",
		Columns: []string{"spec.type", "spec.ttl", "status.records", "spec.disabled"}, Example: ZoneSpec{Type: Public, Email: "hostmaster@example.com", TTL: 300},
		Quota: map[ledger.Dim]func(ZoneSpec) int64{"dns.zones": one},
		Meter: map[ledger.Dim]func(ZoneSpec, ZoneStatus) int64{"dns.zones": func(ZoneSpec, ZoneStatus) int64 { return 1 }},
		Index: map[string]func(*zoneRow) []string{
			"type": func(r *zoneRow) []string { return []string{r.Spec.Type} },
			"vpc":  func(r *zoneRow) []string { return r.Spec.VPCs },
		},
		Defaults: s.zoneDefaults, Check: s.checkZone, Changed: s.zoneChanged, Shown: s.zoneShown,
		Delete: job.Flow[zoneRow]{{Name: "records", Do: s.dropRecords}},
		Actions: []kind.Action[ZoneSpec, ZoneStatus]{
			{Verb: "export", Doc: "write the zone as a zone file (RFC 1035)", Level: kind.Read, Serve: s.export},
		}}.Def())
	s.Record = kind.TableOf[RecordSpec, RecordStatus](kind.Kind[RecordSpec, RecordStatus]{Service: "dns", Name: "record-set", Scope: kind.InProject, AnyName: true,
		Doc:     "The DNS records of one name and type.",
		Columns: []string{"spec.type", "spec.values", "spec.ttl", "status.zone_name", "spec.disabled"},
		Example: RecordSpec{Zone: "example.com", Type: "A", TTL: 300, Values: []string{"192.0.2.1"}},
		Holds: map[ledger.Dim]func(RecordSpec, RecordStatus) int64{"dns.record-sets": func(_ RecordSpec, st RecordStatus) int64 {
			if st.System {
				return 0
			}
			return 1
		}},
		Index: map[string]func(*recordRow) []string{
			"zone": func(r *recordRow) []string { return []string{r.Spec.Zone} },
			"at":   func(r *recordRow) []string { return []string{at(r.Spec.Zone, r.Name)} },
		},
		Defaults: s.recordDefaults, Check: s.checkRecord, CheckDelete: s.recordFree, Changed: s.recordChanged, Shown: s.recordShown}.Def())
}

// at is what the records of one name have in common.
func at(zone, name string) string { return zone + " " + name }
