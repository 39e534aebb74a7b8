/* Worker deployments, the namespace, search attributes: what operators of a cluster ask. */
#include "temporal/client_internal.h"
#include "temporal/proto/operatorservice.pb-c.h"

/* ---- deployments ---- */
static int read_deployment(struct call *c, struct str bytes, struct err *e)
{
    return client_reply_json(c, &rec_type_describe_worker_deployment_response, bytes, e);
}

void client_deployment_describe(struct backend *b, struct str name, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "describe worker deployment", name);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__DescribeWorkerDeploymentRequest *q =
        bridge_new(a, Pb__DescribeWorkerDeploymentRequest, pb__describe_worker_deployment_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->deployment_name = bridge_text(a, name);
    call_send(c, METHOD("DescribeWorkerDeployment"), q, read_deployment);
}

static int read_deployments(struct call *c, struct str bytes, struct err *e)
{
    return client_reply_json(c, &rec_type_list_worker_deployments_response, bytes, e);
}

void client_deployment_list(struct backend *b, struct str page, backend_reply_fn fn, void *ud)
{
    struct call *c =
        call_new(temporal_of(b), fn, ud, "list worker deployments", (struct str){NULL, 0});
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__ListWorkerDeploymentsRequest *q =
        bridge_new(a, Pb__ListWorkerDeploymentsRequest, pb__list_worker_deployments_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    if (client_page_in(a, page, &q->next_page_token))
        call_fail_later(c, ERR_ARG, "the page is not one that an earlier answer named");
    else
        call_send(c, METHOD("ListWorkerDeployments"), q, read_deployments);
}

void client_deployment_set_current(struct backend *b, struct str name, struct str build_id,
                                   bool force, backend_reply_fn fn, void *ud)
{
    struct call *c =
        call_new(temporal_of(b), fn, ud, "set the current version of worker deployment", name);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__SetWorkerDeploymentCurrentVersionRequest *q =
        bridge_new(a, Pb__SetWorkerDeploymentCurrentVersionRequest,
                   pb__set_worker_deployment_current_version_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->deployment_name = bridge_text(a, name);
    q->build_id = bridge_text(a, build_id);
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->ignore_missing_task_queues = force;
    q->allow_no_pollers = force;
    call_send(c, METHOD("SetWorkerDeploymentCurrentVersion"), q, call_read_nothing);
}

/* ---- namespace ---- */
static int read_namespace(struct call *c, struct str bytes, struct err *e)
{
    return client_reply_json(c, &rec_type_describe_namespace_response, bytes, e);
}

void client_namespace_describe(struct backend *b, backend_reply_fn fn, void *ud)
{
    struct temporal *t = temporal_of(b);
    struct call *c = call_new(t, fn, ud, "describe namespace", str_of(t->ns));
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__DescribeNamespaceRequest *q =
        bridge_new(a, Pb__DescribeNamespaceRequest, pb__describe_namespace_request);
    q->namespace_ = bridge_text(a, str_of(t->ns));
    call_send(c, METHOD("DescribeNamespace"), q, read_namespace);
}

/* ---- search attributes ---- */
static const struct {
    const char *name;
    Pb__IndexedValueType type;
} types[] = {{"Text", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_TEXT},
             {"Keyword", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_KEYWORD},
             {"Int", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_INT},
             {"Double", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_DOUBLE},
             {"Bool", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_BOOL},
             {"Datetime", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_DATETIME},
             {"KeywordList", PB__INDEXED_VALUE_TYPE__INDEXED_VALUE_TYPE_KEYWORD_LIST}};
#define TYPES (sizeof types / sizeof *types)

static const char *type_name(int type)
{
    for (size_t i = 0; i < TYPES; i++)
        if ((int)types[i].type == type) return types[i].name;
    return "Unknown";
}

static void put_attribute(struct buf *b, const char *name, int type)
{
    if (b->n > 1) buf_putc(b, ',');
    buf_put_json(b, str_of(name));
    buf_printf(b, ":\"%s\"", type_name(type));
}

static int read_attributes(struct call *c, struct str bytes, struct err *e)
{
    Pb__ListSearchAttributesResponse *m;
    int rc = call_read(c, &pb__list_search_attributes_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_putc(&b, '{');
    for (size_t i = 0; i < m->n_custom_attributes; i++)
        put_attribute(&b, m->custom_attributes[i]->key, (int)m->custom_attributes[i]->value);
    for (size_t i = 0; i < m->n_system_attributes; i++)
        put_attribute(&b, m->system_attributes[i]->key, (int)m->system_attributes[i]->value);
    buf_putc(&b, '}');
    struct backend_reply r = {.json = buf_str(&b)};
    if (b.code) err_set(&r.err, b.code, "%s: the list is too long", c->doing);
    call_reply(c, &r);
    buf_free(&b);
    return 0;
}

void client_attributes_list(struct backend *b, backend_reply_fn fn, void *ud)
{
    struct call *c =
        call_new(temporal_of(b), fn, ud, "list search attributes", (struct str){NULL, 0});
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__ListSearchAttributesRequest *q =
        bridge_new(a, Pb__ListSearchAttributesRequest, pb__list_search_attributes_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    call_send(c, OPERATOR_METHOD("ListSearchAttributes"), q, read_attributes);
}

void client_attributes_add(struct backend *b, struct str name, struct str type, backend_reply_fn fn,
                           void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "add search attribute", name);
    size_t i = 0;
    if (!c) return;
    while (i < TYPES && !str_eqz(type, types[i].name))
        i++;
    struct arena *a = call_turn(c);
    Pb__AddSearchAttributesRequest *q =
        bridge_new(a, Pb__AddSearchAttributesRequest, pb__add_search_attributes_request);
    q->search_attributes = bridge_array(a, 1);
    if (i == TYPES || !q->search_attributes) {
        call_fail_later(c, ERR_ARG,
                        "\"" STR_FMT "\" is no type: Keyword, KeywordList, Text, Int, Double, Bool "
                        "or Datetime",
                        STR_ARG(type));
        return;
    }
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->n_search_attributes = 1;
    q->search_attributes[0] =
        bridge_new(a, Pb__AddSearchAttributesRequest__SearchAttributesEntry,
                   pb__add_search_attributes_request__search_attributes_entry);
    q->search_attributes[0]->key = bridge_text(a, name);
    q->search_attributes[0]->value = types[i].type;
    call_send(c, OPERATOR_METHOD("AddSearchAttributes"), q, call_read_nothing);
}
