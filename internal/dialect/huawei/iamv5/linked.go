package iamv5

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
)

// createLinked makes the agency by which a service acts in the account. It may do what is then granted to it.
func createLinked(x *wire.Exchange) error {
	var b struct {
		Service     string  `json:"service_principal"`
		Description *string `json:"description"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if err := must(x, x.API.Kinds.Agency.D, call.Create, "", "service_principal", b.Service); err != nil {
		return err
	}
	name := "ServiceLinkedAgencyFor" + strings.TrimPrefix(b.Service, "service.")
	row, err := x.Do(x.API.Kinds.Agency.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{"max_session": session}
		wire.Set(s, "description", b.Description)
		applyTrust(s, "", b.Service)
		c.Name, c.Spec, c.Tags = &name, s.JSON(), &map[string]string{trustTag: b.Service, pathTag: linkedPath + b.Service + "/"}
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "agency", agencyView(row.(*agencyRow)))
}

// deleteLinked takes it away. That is done when it answers; its clients ask for a task nevertheless, whose id is the agency's.
func deleteLinked(x *wire.Exchange) error {
	row, err := x.Do(x.API.Kinds.Agency.D, call.Delete, x.Param("agency_id"), nil)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]string{"deletion_task_id": string(row.M().ID)})
	return nil
}

// principals are the services that act through agencies: a server does, for what runs on it.
var principals = []struct{ Name, Catalog, Title, Doc string }{
	{"service.ECS", "ECS", "Elastic Cloud Server", "what runs on a server gets temporary keys of the agency that the server names"},
}

func listPrincipals(x *wire.Exchange) error {
	var items []any
	for _, p := range principals {
		items = append(items, map[string]string{"service_principal": p.Name, "service_catalog": p.Catalog, "display_name": p.Title, "description": p.Doc})
	}
	return slice(x, "service_principals", items)
}
