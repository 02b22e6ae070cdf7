"""The tables and their indexes, nothing else.

There are no foreign keys: InnoDB locks the parent row for each child that is written, which would tie
heartbeats, the pump and settling workers to each other. Deletions name what they take along instead.
"""

from __future__ import annotations

from backend.store.tables.alarms import Alert, AlertNotice, QueueHealth, Vitals, Watch
from backend.store.tables.base import Base, core
from backend.store.tables.children import Result, SyncLog
from backend.store.tables.feeds import Article, Feed, FeedMove, Host
from backend.store.tables.message_tasks import MessageTask, MessageTaskFeed
from backend.store.tables.nodes import Node, NodeCredential
from backend.store.tables.operations import Beat, History, Lock, Pulse
from backend.store.tables.people import AccessKey, Login, User
from backend.store.tables.publishing import LoginScreenshot, PublishAccount, PublishTask
from backend.store.tables.remote import JoinToken, StagedChunk
from backend.store.tables.requests import IdempotentRequest
from backend.store.tables.schedules import Scheduler, Tick
from backend.store.tables.selections import Selection, SelectionPart
from backend.store.tables.work import Allocation, Delivery, DeliveryArticle, Run, WorkItem

__all__ = [
    "AccessKey",
    "Alert",
    "AlertNotice",
    "Allocation",
    "Article",
    "Base",
    "Beat",
    "Delivery",
    "DeliveryArticle",
    "Feed",
    "FeedMove",
    "History",
    "Host",
    "IdempotentRequest",
    "JoinToken",
    "Lock",
    "Login",
    "LoginScreenshot",
    "MessageTask",
    "MessageTaskFeed",
    "Node",
    "NodeCredential",
    "PublishAccount",
    "PublishTask",
    "Pulse",
    "QueueHealth",
    "Result",
    "Run",
    "Scheduler",
    "Selection",
    "SelectionPart",
    "StagedChunk",
    "SyncLog",
    "Tick",
    "User",
    "Vitals",
    "Watch",
    "WorkItem",
    "core",
]
