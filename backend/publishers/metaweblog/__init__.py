"""Blogs that speak MetaWeblog over XML-RPC: WordPress, Typecho and others."""
