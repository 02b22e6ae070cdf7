"""Every request that the three cascade documents of WeRSS show, as they write it, and the answers that they show.

The documents: G the guide (级联系统使用指南), D the dispatcher's (级联任务分发系统使用指南), T the troubleshooting (故障排查指南).
Hosts, tokens, keys and ids are their placeholders; `Stand-ins` in the test put real ones there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One request: a curl command, or the text of an HTTP request; `answer` is the JSON that the document shows."""

    section: str
    request: str
    answer: str = ""


CREATE_NODE = Line(
    "G 父节点管理接口 1",
    """\
POST /api/v1/cascade/nodes
Content-Type: application/json
Authorization: Bearer {token}

{
  "node_type": 1,
  "name": "子节点1",
  "description": "用于扩展采集能力",
  "api_url": "http://child-server:8001"
}""",
    """\
{
  "code": 0,
  "message": "节点创建成功",
  "data": {
    "node_id": "550e8400-e29b-41d4-a716-446655440000",
    "node_type": 1,
    "name": "子节点1",
    "is_active": true
  }
}""",
)
MAKE_CREDENTIALS = Line(
    "G 父节点管理接口 2",
    """\
POST /api/v1/cascade/nodes/{node_id}/credentials
Authorization: Bearer {token}""",
    """\
{
  "code": 0,
  "message": "凭证生成成功",
  "data": {
    "node_id": "550e8400-e29b-41d4-a716-446655440000",
    "api_key": "CN32个随机字符",
    "api_secret": "CS32个随机字符"
  }
}""",
)
LIST_CHILDREN = Line(
    "G 父节点管理接口 3",
    """\
GET /api/v1/cascade/nodes?node_type=1
Authorization: Bearer {token}""",
)
TEST_CONNECTION = Line(
    "G 父节点管理接口 4",
    """\
POST /api/v1/cascade/nodes/{node_id}/test-connection
Authorization: Bearer {token}

{
  "api_url": "http://child-server:8001",
  "api_key": "CNxxxxx",
  "api_secret": "CSxxxxx"
}""",
)
SYNC_LOGS_OF_NODE = Line(
    "G 父节点管理接口 5",
    """\
GET /api/v1/cascade/sync-logs?node_id={node_id}&limit=50
Authorization: Bearer {token}""",
)
PULL_FEEDS = Line(
    "G 从父节点拉取公众号",
    """\
GET /api/v1/cascade/feeds
Authorization: AK-SK {api_key}:{api_secret}""",
)
PULL_TASKS = Line(
    "G 从父节点拉取消息任务",
    """\
GET /api/v1/cascade/message-tasks
Authorization: AK-SK {api_key}:{api_secret}""",
)
REPORT_RESULT = Line(
    "G 上报任务结果",
    """\
POST /api/v1/cascade/report-result
Authorization: AK-SK {api_key}:{api_secret}

{
  "task_id": "task-uuid",
  "results": [
    {
      "mp_id": "mp-uuid",
      "mp_name": "公众号名称",
      "article_count": 10,
      "success_count": 10,
      "timestamp": "2024-01-01T00:00:00"
    }
  ],
  "timestamp": "2024-01-01T00:00:00"
}""",
)
HEARTBEAT = Line(
    "G 发送心跳",
    """\
POST /api/v1/cascade/heartbeat
Authorization: AK-SK {api_key}:{api_secret}""",
)
CURL_NODES = Line(
    "G 查看子节点状态（Shell）",
    r"""curl -H "Authorization: Bearer YOUR_TOKEN" \
  http://parent-server:8001/api/v1/cascade/nodes""",
)
CURL_SYNC_LOGS = Line(
    "G 查看子节点状态（Shell）, 同步日志",
    r"""curl -H "Authorization: Bearer YOUR_TOKEN" \
  http://parent-server:8001/api/v1/cascade/sync-logs""",
)
DISPATCH_ALL = Line(
    "D 4 方式1, 分发所有任务; T 问题3; T 调试技巧 4",
    r"""curl -X POST "http://localhost:8001/api/v1/cascade/dispatch-task" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" """,
    """{"code": 200, "message": "任务分发完成", "data": null}""",
)
DISPATCH_ONE = Line(
    "D 4 方式1, 分发指定任务",
    r"""curl -X POST "http://localhost:8001/api/v1/cascade/dispatch-task?task_id=xxx" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" """,
    """{"code": 200, "message": "任务分发完成", "data": null}""",
)
SET_CAPACITY = Line(
    "D 节点容量配置 (requests.put with json=)",
    """\
PUT /api/v1/cascade/nodes/NODE_ID
Content-Type: application/json
Authorization: Bearer YOUR_JWT_TOKEN

{"sync_config": {"max_capacity": 20, "feed_quota": {"mp_id_1": 5, "mp_id_2": 10}}}""",
)
DISPATCH_BY_HTTP = Line(
    "D API 父节点接口 1",
    """\
POST /api/v1/cascade/dispatch-task
Authorization: Bearer <JWT_TOKEN>""",
    """{"code": 200, "message": "任务分发完成", "data": null}""",
)
ALLOCATION_LIST = """\
{
  "code": 200,
  "data": {
    "list": [
      {
        "allocation_id": "xxx",
        "node_id": "xxx",
        "node_name": "子节点1",
        "task_id": "xxx",
        "feed_ids": ["mp1", "mp2"],
        "status": "executing",
        "created_at": "2024-01-01T00:00:00",
        "updated_at": "2024-01-01T00:00:00"
      }
    ],
    "total": 10
  }
}"""
ALLOCATIONS = Line(
    "D API 父节点接口 2",
    """\
GET /api/v1/cascade/allocations
Authorization: Bearer <JWT_TOKEN>""",
    ALLOCATION_LIST,
)
# The same with every query parameter that the document names.
ALLOCATIONS_FILTERED = Line(
    "D API 父节点接口 2, Query Parameters",
    """\
GET /api/v1/cascade/allocations?task_id=xxx&node_id=NODE_ID&status=executing&limit=50
Authorization: Bearer <JWT_TOKEN>""",
    ALLOCATION_LIST,
)
PACKAGE = """\
{
  "code": 200,
  "data": {
    "task_id": "xxx",
    "task_name": "任务名称",
    "message_type": 0,
    "message_template": "...",
    "web_hook_url": "https://...",
    "cron_exp": "0 9 * * *",
    "headers": "",
    "cookies": "",
    "feeds": [
      {
        "id": "mp1",
        "faker_id": "fake1",
        "mp_name": "公众号1",
        "mp_cover": "https://...",
        "mp_intro": "公众号简介",
        "status": 1
      }
    ],
    "dispatched_at": "2024-01-01T00:00:00",
    "allocation_id": "xxx"
  }
}"""
PENDING_TASKS = Line(
    "D API 子节点接口 1",
    """\
GET /api/v1/cascade/pending-tasks?limit=1
Authorization: AK-SK <API_KEY>:<API_SECRET>""",
    PACKAGE,
)
CURL_SYNC_LOGS_LIMITED = Line(
    "D 查看同步日志",
    r"""curl "http://localhost:8001/api/v1/cascade/sync-logs?limit=50" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" """,
)
CURL_TEST_CONNECTION = Line(
    "D 测试节点连接",
    r"""curl -X POST "http://localhost:8001/api/v1/cascade/nodes/NODE_ID/test-connection" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \
  -d '{"api_url": "http://child:8001", "api_key": "CNxxx", "api_secret": "CSxxx"}'""",
)
CURL_ALLOCATIONS = Line(
    "D 问题1; T 问题3; T 调试技巧 4",
    r"""curl "http://localhost:8001/api/v1/cascade/allocations" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" """,
    ALLOCATION_LIST,
)
CURL_HEARTBEAT = Line(
    "T 问题2, 检查父节点状态",
    r"""curl "http://parent-server:8001/api/v1/cascade/heartbeat" \
  -H "Authorization: AK-SK YOUR_API_KEY:YOUR_API_SECRET" """,
)
CURL_PENDING_TASKS = Line(
    "T 调试技巧 4, 获取待处理任务",
    r"""curl "http://parent:8001/api/v1/cascade/pending-tasks" \
  -H "Authorization: AK-SK CNxxx:CSxxx" """,
    PACKAGE,
)
