package servicestage

import (
	"crypto/sha256"
	"fmt"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// clusterName is what the cluster is called that stands for this cloud's containers.
const clusterName = "awan"

// clusterID is the id of a project's cluster: the same at every time, without a row.
func clusterID(project string) string {
	h := sha256.Sum256([]byte("cluster of project " + project))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// clusterRoutes show that cluster to clients that look for one; a managed Kubernetes is not behind it.
func (a *API) clusterRoutes() []route {
	k, all := a.App.Environment.D, "/api/v3/projects/{project_id}/clusters"
	return []route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listClusters},
		{Method: "GET", Path: all + "/{cluster_id}", Kind: k, Verb: call.List, Do: a.showCluster},
		{Method: "POST", Path: all + "/{cluster_id}/clustercert", Kind: k, Verb: call.List, Do: a.noCertificate},
		{Method: "POST", Path: all + "/clustercert", Kind: k, Verb: call.List, Do: a.noCertificate}, // as a provider asks that lists clusters
	}
}

func cluster(project string) map[string]any {
	return map[string]any{"kind": "Cluster", "apiVersion": "v3",
		"metadata": map[string]any{"name": clusterName, "uid": clusterID(project)},
		"spec": map[string]any{"category": "CCE", "type": "VirtualMachine", "flavor": "awan.containers", "version": "none",
			"description": "this cloud's containers; ServiceStage runs its components in them",
			"hostNetwork": map[string]any{}, "containerNetwork": map[string]any{}, "eniNetwork": map[string]any{}, "extendParam": map[string]any{"enterpriseProjectId": "0"}},
		"status": map[string]any{"phase": "Available"}}
}

// seen asks whether the caller may see the project's environments: who may, may see where they run.
func (a *API) seen(x *exchange) error {
	_, _, err := wire.Rows(x, a.App.Environment, "", kind.Filter{Limit: 1})
	return err
}

func (a *API) listClusters(x *exchange) error {
	if err := a.seen(x); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"kind": "Cluster", "apiVersion": "v3", "items": []any{cluster(x.Param("project_id"))}})
	return nil
}

func (a *API) showCluster(x *exchange) error {
	if err := a.seen(x); err != nil {
		return err
	}
	if x.Param("cluster_id") != clusterID(x.Param("project_id")) {
		return fail.New(fail.NotFound, "there is no cluster %q", x.Param("cluster_id")).Then("the project's is %s", clusterID(x.Param("project_id")))
	}
	wire.Write(x.W, http.StatusOK, cluster(x.Param("project_id")))
	return nil
}

// noCertificate answers who asks for a Kubernetes access: a configuration with no cluster in it.
func (a *API) noCertificate(x *exchange) error {
	if err := a.seen(x); err != nil {
		return err
	}
	none := []any{}
	wire.Write(x.W, http.StatusOK, map[string]any{"kind": "Config", "apiVersion": "v1", "clusters": none, "users": none, "contexts": none})
	return nil
}
